"""What makes many workers one fleet: overrides that all of them obey, and what each reports of itself.

``heartbeat`` reports about once a second, with the statistics of ``traffic`` and the refusals of ``refusal_journal``;
``overrides_file`` and ``rules_file`` read what operators have written there; ``census`` counts what is in force.
"""
