"""Measurements: each script runs what it compares side by side and prints ratios."""
