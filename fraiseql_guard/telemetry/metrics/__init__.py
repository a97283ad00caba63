"""Metrics: one prometheus_client collector for each row of the vocabulary, bounded labels, and the exposition page.

``registry`` is what the recorder counts in; ``series`` and ``labels`` bound what it may hold; ``exposition`` and
``openmetrics`` write the page; ``multiprocess``, ``process_locks``, ``folding`` and ``value_files`` add up the counts
of several worker processes.
"""
