"""The OptimizationJob contract: models, rules, defaults, verdicts, status and report."""
