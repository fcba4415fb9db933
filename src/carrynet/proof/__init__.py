"""Proofs for numbers of any length: the search for them, certificates, and their checker."""
