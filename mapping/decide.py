"""Decides what becomes of a source field, by the probabilities of its candidates and the bands in force."""
