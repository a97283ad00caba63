"""Recommends limits that fit real use, by distributions of what requests ask for, which take bounded memory.

``observing`` reads observations from log lines, ``watch`` takes them from requests. ``usage`` and ``rates`` add them
up, in the distributions of ``sketch``; ``usage_report`` merges those of several workers. ``advice`` recommends limits
and rates, ``costs`` compares cost points with the time in the database. ``report`` and ``charts`` show the result.
"""
