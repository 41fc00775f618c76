"""Exported files as plain callables; each runtime is a seam of one module, loaded when needed."""

from trimtab_trainer.benchmarking.runners.opening import open_runner

__all__ = ["open_runner"]
