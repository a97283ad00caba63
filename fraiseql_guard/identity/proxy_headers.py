"""Request headers that only proxies, load balancers and CDNs send. A peer that sends one of them is a proxy.

Clients, browsers, scrapers and probes send none of these by themselves. Headers that applications send as well are not
among them (``traceparent``, ``tracestate``, ``b3``, ``x-request-id``, ``x-correlation-id``), nor are those that a
client sends to a proxy (``proxy-authorization``, ``proxy-connection``, ``max-forwards``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from fraiseql_guard.core.lru import Memo

_T = TypeVar("_T")

PROXY_HEADERS: Final = frozenset(
    {
        *(b"forwarded", b"via", b"x-forwarded"),  # RFC 7239, RFC 9110
        *(b"client-ip", b"true-client-ip", b"x-client-ip", b"x-client-port", b"x-cluster-client-ip"),
        *(b"x-remote-addr", b"x-remote-ip", b"x-proxyuser-ip", b"proxy-client-ip", b"wl-proxy-client-ip"),
        *(b"front-end-https", b"x-scheme", b"x-url-scheme", b"x-rewrite-url"),
        *(b"x-request-start", b"x-queue-start"),  # when a router took the request
        *(b"surrogate-capability", b"x-varnish"),
        *(b"x-amz-cf-id", b"x-amzn-trace-id", b"x-cloud-trace-context"),
        *(b"ali-cdn-real-ip", b"akamai-origin-hop", b"incap-client-ip", b"x-nf-client-connection-ip"),
    }
)
"""Headers that only proxies send, by name."""

PROXY_HEADER_PREFIXES: Final = (
    *(b"x-forwarded-", b"x-original-", b"x-real-"),
    b"x-envoy-",
    *(b"cdn-", b"cf-", b"cloudfront-", b"fastly-", b"fly-"),  # CDN-Loop is RFC 8586
    *(b"x-akamai-", b"x-appengine-", b"x-arr-", b"x-azure-", b"x-sucuri-", b"x-vercel-"),
)
"""Headers that only proxies send, by the beginning of their name."""

PASSED_ON: Final = frozenset({b"x-amzn-trace-id", b"x-cloud-trace-context"})
"""Headers of proxies that tracing libraries pass on from service to service. They make a peer a proxy as well, since a
load balancer may send no other, but they are no reason to warn of an undeclared proxy."""

_REMEMBERED: Final = 1_000
_LONGEST_REMEMBERED: Final = 64


def only_proxies_send(name: bytes) -> bool:
    """Whether a header of this name shows that a proxy has sent the request."""
    # HTTP/2 and ASGI want lower case, but not every server obeys.
    lowered = name.lower()
    return lowered in PROXY_HEADERS or lowered.startswith(PROXY_HEADER_PREFIXES)


def by_name(ask: Callable[[bytes], _T]) -> Memo[bytes, _T]:
    """Cache the results of a function of header names, for at most 1,000 short names: clients send the same few, but
    requests may bring any."""
    return Memo(ask, _REMEMBERED, keeps=_is_short)


def _is_short(name: bytes) -> bool:
    return len(name) <= _LONGEST_REMEMBERED
