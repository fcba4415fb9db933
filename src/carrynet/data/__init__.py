"""Random numbers by position, and every sampler of words."""
