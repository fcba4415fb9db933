"""Judging networks: evaluation, refutation, extraction."""
