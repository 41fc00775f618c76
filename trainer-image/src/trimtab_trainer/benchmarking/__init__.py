"""Running exported files, and measuring how fast and how large they are when they run."""
