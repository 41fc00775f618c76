"""The `trimtab` command: validate, plan and run OptimizationJob manifests."""
