"""Which point to try next, and the life of a trial."""
