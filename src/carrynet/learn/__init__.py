"""Training: the loop, populations, progress."""
