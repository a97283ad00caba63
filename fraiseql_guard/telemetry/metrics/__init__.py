"""Metrics: the vocabulary as collectors, their labels in bounds, their exposition, and those of several workers."""
