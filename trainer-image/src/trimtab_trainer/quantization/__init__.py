"""From an exported float32 file to one in 8 bits."""
