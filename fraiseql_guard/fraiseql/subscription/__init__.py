"""Subscriptions for a FraiseQL app, which serves none itself: two WebSocket protocols and server-sent events.

mount.py puts a route before FraiseQL's. It hands sockets to socket_session.py and streams to sse.py, and both of them
hand operations to execution.py, as documents.py has read them.
"""
