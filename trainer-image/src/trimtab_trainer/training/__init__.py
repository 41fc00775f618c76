"""Training and evaluation: recipe, loop, precision, seeds and checkpoints."""
