"""Runs: what one is, and its folder."""
