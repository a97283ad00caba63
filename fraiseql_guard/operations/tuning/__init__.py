"""Finds the limits that fit real use: what requests ask for, summed up in bounded memory, and what follows from it.

``sketch`` holds distributions; ``usage`` sums observations up, which ``observing`` reads from log lines and ``watch``
takes from requests; ``usage_report`` is what several workers' sums come to. ``advice`` recommends limits, ``rates`` the
rates among them, and ``costs`` compares cost points with the database's time. ``report`` and ``charts`` show them.
"""
