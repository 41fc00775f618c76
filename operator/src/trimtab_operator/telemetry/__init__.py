"""What the operator tells about itself and about jobs: log lines and Kubernetes events."""
