"""Subscriptions for a FraiseQL app, which serves none itself: two WebSocket protocols and server-sent events.

mount.py puts a route before FraiseQL's. It hands sockets to socket_session.py and streams to sse.py. Both read
operations with documents.py, and hand them to execution.py.
"""
