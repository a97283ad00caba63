"""ASGI: the only room that touches scope, receive and send."""
