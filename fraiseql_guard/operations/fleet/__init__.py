"""Makes many workers one fleet: reports of each worker about itself, and overrides that all of them obey.

``heartbeat`` writes a worker's report about once a second, with the statistics of ``traffic``, the live connections of
``live_report`` and the refusals of ``refusal_journal``. ``overrides_file`` and ``rules_file`` read overrides and rules
from files; ``census`` counts the sanctions and overrides in force.
"""
