"""Pruning: parts of a model that matter least are ranked, chosen and removed.

Called by the prune stage, with keywords and callables; knows neither manifests nor data sets.
What is coupled is read from the exported program by `dependency`.
"""

__all__: list[str] = []
