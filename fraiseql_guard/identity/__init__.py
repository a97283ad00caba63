"""Who is asking: client addresses behind proxies, and users with a verified token."""

from fraiseql_guard.identity.addresses import AddressResolver, Caller
from fraiseql_guard.identity.networks import NetworkSet, listed
from fraiseql_guard.identity.tokens import KeysMissing, TokenFailure, TokenVerifier

__all__ = ["AddressResolver", "Caller", "KeysMissing", "NetworkSet", "TokenFailure", "TokenVerifier", "listed"]
