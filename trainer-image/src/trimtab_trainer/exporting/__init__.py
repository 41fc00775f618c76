"""From a torch module to a published model file that is known to compute the same."""
