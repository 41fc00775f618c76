"""Structured pruning: channels that belong together are ranked, chosen and cut out physically.

Called by the prune stage, with keywords and callables; knows neither manifests nor data sets.
Only `dependency` imports Torch-Pruning; what decides (importance, schedule, budget) is ours.
"""

__all__: list[str] = []
