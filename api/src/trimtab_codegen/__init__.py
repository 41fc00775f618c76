"""Generators of what is derived from the contract; in no wheel."""
