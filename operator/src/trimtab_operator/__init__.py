"""The control plane: OptimizationJobs become Ray clusters, and their reports a status."""
