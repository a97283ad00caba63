"""Recording rules, alerts and a dashboard for guarded apps, all written from the tables in this package.

``recordings``, ``alerts``, ``own_alerts`` and ``panels`` are the tables; ``render`` and ``dashboard`` write the files.
``alerts/`` and ``grafana/`` hold the files as they are shipped. ``fraiseql-guard alerts`` and ``fraiseql-guard
dashboard`` write them with the operator's own labels and addresses.
"""
