"""Answers the runbooks' questions from the guard's log: which callers, how often, since when, attack or not.

``reading`` and ``wrappers`` read lines of any log file, ``log_line`` parses them, and ``summary`` adds them up with the
counters of ``counting``. ``verdict`` decides about the cause, ``report`` writes the summary. ``usage`` reads the
measures of requests for tuning.
"""
