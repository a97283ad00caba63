"""Connections to Redis: one server, Sentinels or a cluster, each with one multiplexed connection per event loop."""
