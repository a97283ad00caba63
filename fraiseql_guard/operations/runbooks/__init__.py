"""What watches a guarded app: recording rules, alerts and a dashboard, all written from the tables in here.

``alerts/`` and ``grafana/`` hold the files as they are shipped; ``fraiseql-guard alerts`` and ``fraiseql-guard
dashboard`` write them with the operator's own addresses.
"""
