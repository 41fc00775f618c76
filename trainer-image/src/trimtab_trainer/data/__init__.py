"""Data sets: loading, checking, seeded splits, and normalization that goes into the graph."""
