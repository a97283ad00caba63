"""Identifies callers: client addresses behind proxies, and users with verified credentials."""
