"""Decisions, one file each: a check reads a request's context and returns a Denial or None, and does nothing else."""
