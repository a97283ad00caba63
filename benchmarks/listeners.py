"""The socket that a benchmark's server listens on."""

from __future__ import annotations

import socket


def loopback() -> socket.socket:
    """A TCP socket bound to a free port of 127.0.0.1.

    asyncio switches Nagle's delay off only where the listening socket names its protocol, as this one does: with
    ``socket.socket()`` alone an answer in two parts waits up to 40 ms for the client's acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.bind(("127.0.0.1", 0))
    except BaseException:
        listener.close()
        raise
    return listener
