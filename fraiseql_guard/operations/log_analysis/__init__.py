"""Answers the runbooks' questions from the guard's log: which callers, how often, since when, attack or not.

``reading`` and ``wrappers`` read lines of any log file, ``log_line`` parses them, ``summary`` adds them up with the
counters in ``counting``; ``verdict`` judges, ``report`` writes it down.
"""
