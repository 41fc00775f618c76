"""The only Kubernetes I/O: everything in here speaks raw JSON, everything behind it our types."""
