"""The operator's HTTP API and its console, served under the admin path of the app or on a port of its own.

``authentication`` finds the operator of a request; ``dispatch`` answers one request of a known operator by the table in
``routes``; ``sessions`` and ``pages`` belong to the console.
"""

from fraiseql_guard.operations.http.builder import build_authentication
from fraiseql_guard.operations.http.standing import Standing

__all__ = ["Standing", "build_authentication"]
