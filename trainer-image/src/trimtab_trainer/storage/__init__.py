"""Where truth lies: atomic files, hashes, the trial log."""
