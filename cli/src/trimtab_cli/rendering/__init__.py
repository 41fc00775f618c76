"""How results look on a terminal; the only importers of rich."""
