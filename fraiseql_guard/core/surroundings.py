"""Sentences about what would keep the guard from its work without an error: the environment, the middlewares inside it,
and settings that contradict each other. Each names the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fraiseql_guard.core.servers import started_workers
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.token_buckets import Burst, Rate, charges_of, idle_windows

MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Variable of prometheus_client: the directory in which worker processes of one host meet."""
FORWARDED_ALLOW_IPS: Final = "FORWARDED_ALLOW_IPS"
"""Variable of uvicorn and gunicorn: the proxies that they believe themselves."""
_EVERYONE: Final = frozenset({"*", "0.0.0.0/0", "::/0"})
_COMPRESSES: Final = re.compile(r"gzip|brotli|zstd|deflate|(?<!de)compress", re.IGNORECASE)

_RATES: Final = (
    "rate_limit_default", "rate_limit_authenticated", "rate_limit_graphql", "rate_limit_graphql_query",
    "rate_limit_graphql_mutation", "rate_limit_public", "rate_limit_sockets",
)  # fmt: skip
_JUMPS: Final = (
    "on a host with several workers, /metrics answers for whichever worker is asked, so that counters jump from scrape "
    "to scrape and alerts fire for nothing."
)
_MEET: Final = f"Set {MULTIPROCESS} to an empty directory that all workers of the host share"
NEIGHBOURS: Final = f"another worker of this host counts for itself: {_JUMPS} {_MEET}"
PEER_REPLACED: Final = (
    "the server has put an address from X-Forwarded-For in the place of the peer, before the guard sees it: it "
    f"believes the proxies of its own list ({FORWARDED_ALLOW_IPS}; uvicorn's default is this machine). Start uvicorn "
    f"with --no-proxy-headers, so that {name_of('trusted_proxies')} alone decides who is believed"
)


def warnings_of(
    settings: Settings,
    protections: frozenset[Protection] = frozenset(Protection),
    *,
    environ: Mapping[str, str] | None = None,
    authenticates: bool | None = None,
) -> list[str]:
    """Sentences about the settings and the environment, for which no app is needed. ``authenticates`` where an app
    tells of API keys too."""
    verifies = settings.authenticates if authenticates is None else authenticates
    around = os.environ if environ is None else environ
    sentences = [*_peers(around), *_times(settings, protections), *_sizes(settings, protections)]
    if Protection.RATE_LIMIT in protections:
        sentences += _rates(settings)
    sentences += [
        *_paths(settings, protections),
        *_keys(settings, protections, authenticates=verifies),
        *_files(settings, protections),
    ]
    if Protection.METRICS in protections:
        sentences += _workers(settings, around)
    return sentences


def blinding(inside: Iterable[str]) -> list[str]:
    """Of the middlewares inside the guard, those that hide the app's answers from it."""
    return [
        f"{name} is mounted inside the guard: in a compressed answer it can neither count errors, nor hide "
        "suggestions, nor write costs. Compress outside: in the proxy, or by Starlette's GZipMiddleware around the "
        "guard (in Starlette and FastAPI it is added after the guard)"
        for name in sorted(set(inside))
        if _COMPRESSES.search(name)
    ]


def _peers(environ: Mapping[str, str]) -> Iterator[str]:
    believed = {part.strip() for part in environ.get(FORWARDED_ALLOW_IPS, "").split(",")}
    if found := sorted(believed & _EVERYONE):
        yield (
            f"{FORWARDED_ALLOW_IPS}={found[0]} lets every client choose the address that it comes from, and so evade "
            f"limits and blocks. Name your proxies in {name_of('trusted_proxies')} instead, and start uvicorn with "
            "--no-proxy-headers"
        )


def counting_apart(settings: Settings, environ: Mapping[str, str] | None = None) -> str | None:
    """What to say if several workers are known of and each counts for itself. :data:`MULTIPROCESS` unset, or blank."""
    around = os.environ if environ is None else environ
    if around.get(MULTIPROCESS, "").strip():
        return None
    # The settings know best; else the server's processes tell.
    if settings.host_worker_count > 1:
        by_setting = settings.workers is not None and settings.redis_url is None
        known = f"{name_of('workers') if by_setting else 'WEB_CONCURRENCY'}={settings.host_worker_count}"
    elif (started := started_workers(around)) is not None:
        known = started.how
    else:
        return None
    return f"{known} and {MULTIPROCESS} is not set: {_JUMPS} {_MEET}"


def several_on(hosts: Mapping[str, int]) -> str:
    """What to say of hosts on which so many workers each count for themselves."""
    (host, count), *others = sorted(hosts.items())
    more = f", and likewise on {len(others)} more hosts" if others else ""
    return f"{count} workers on {host} count for themselves{more} ({MULTIPROCESS} is not set there): {_JUMPS} {_MEET}"


def _workers(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    if sentence := counting_apart(settings, environ):
        yield sentence


def _times(settings: Settings, protections: frozenset[Protection]) -> Iterator[str]:
    longest = max(settings.query_timeout, settings.mutation_timeout or 0.0)
    if Protection.TIMEOUT in protections and settings.slow_query_seconds > longest:
        yield (
            f"{name_of('slow_query_seconds')}={settings.slow_query_seconds:g} is above the query timeout "
            f"({longest:g} s): a statement is stopped before it is logged as slow. Set it below "
            f"{name_of('query_timeout')}"
        )
    if settings.memory_high_percent > settings.memory_critical_percent:
        yield _above("memory_high_percent", "memory_critical_percent", settings, "critical is reported before high")


def _sizes(settings: Settings, protections: frozenset[Protection]) -> Iterator[str]:
    if settings.max_body_bytes > settings.max_buffered_bytes:
        yield _above("max_body_bytes", "max_buffered_bytes", settings, "the largest bodies are always refused (503)")
    # The rest is about documents.
    if Protection.QUERY_LIMITS not in protections:
        return
    if settings.max_query_chars > settings.max_body_bytes:
        yield _above("max_query_chars", "max_body_bytes", settings, "no document of that length can arrive")
    if settings.list_multiplier > settings.max_query_complexity:
        yield _above("list_multiplier", "max_query_complexity", settings, "a list without a size is always refused")


def _rates(settings: Settings) -> Iterator[str]:
    """Windows of rates that can never refuse anything."""
    found: dict[str, Rate] = {}
    for option in _RATES:
        rate: Rate | None = getattr(settings, option)
        if rate is not None:
            found[name_of(option)] = rate
    found |= {f"{name_of('tiers')} ({name})": rate for name, rate in settings.tiers.items()}
    for name, rate in found.items():
        # Sockets may come back at once.
        burst = Burst(percent=100) if name == name_of("rate_limit_sockets") else settings.rate_limit_burst
        for charge, tighter in idle_windows(charges_of(rate, name, burst)):
            yield (
                f"{name}={rate}: {charge.limit} refuses nothing that {tighter.limit} admits. Lower the first "
                "number, or leave that window out"
            )


def _above(option: str, other: str, settings: Settings, consequence: str) -> str:
    return (
        f"{name_of(option)}={getattr(settings, option)} is above {name_of(other)}={getattr(settings, other)}: "
        f"{consequence}. Lower the one or raise the other"
    )


def _paths(settings: Settings, protections: frozenset[Protection]) -> Iterator[str]:
    served = _own_paths(settings, protections)
    for option in served:
        path: str = getattr(settings, option)
        for guarded in settings.graphql_paths:
            if _lies_under(path, guarded, is_page=option != "admin_path"):
                remedy = "Put the app into a route, such as /graphql" if guarded == "/" else "Move one of them"
                yield (
                    f"{name_of(option)}={path} lies under {name_of('graphql_paths')}={guarded}: "
                    f"one of the two is never served. {remedy}"
                )
    if {"metrics_path", "health_path"} <= set(served) and settings.metrics_path == settings.health_path:
        yield (
            f"{name_of('metrics_path')} and {name_of('health_path')} are one path: the details are never served. "
            "Move one of them"
        )


def _own_paths(settings: Settings, protections: frozenset[Protection]) -> list[str]:
    """Options with paths that the guard itself serves."""
    own = ["metrics_path", "health_path"] if Protection.METRICS in protections else []
    has_operators = settings.admin_tokens is not None or settings.admin_scope is not None
    if has_operators and Protection.ADMIN in protections:
        own.append("admin_path")
    return own


def _lies_under(path: str, guarded: str, *, is_page: bool) -> bool:
    """Whether one path covers the other. An app at / may still have the operator's API below it, but no page."""
    if guarded == "/":
        return is_page
    return path == guarded or path.startswith(f"{guarded}/")


def _keys(settings: Settings, protections: frozenset[Protection], *, authenticates: bool) -> Iterator[str]:
    """Settings about verified users, where no token, or nothing at all, can be verified."""
    if Protection.AUTH not in protections or settings.verifies_tokens:
        return
    options = ["jwt_issuer", "jwt_audience"]
    if not authenticates:
        options = ["tiers", "public_operations", *options, "tenant_claim", "token_cookie"]
    wanted = [option for option in options if getattr(settings, option)]
    if settings.introspection == "authenticated" and not authenticates:
        wanted.append("introspection")
    if wanted:
        names = ", ".join(map(name_of, wanted))
        yield f"{names}: no effect without a key to verify tokens with. Set {name_of('jwt_secret')}"


def _files(settings: Settings, protections: frozenset[Protection]) -> Iterator[str]:
    path = settings.overrides_file
    if path is not None and not path.exists():
        yield f"{name_of('overrides_file')}={str(path)!r} does not exist, and overrides nothing until it does"
    manifest = settings.trusted_documents_file
    if manifest is not None and settings.trusted_documents == "off" and Protection.QUERY_LIMITS in protections:
        yield (
            f"{name_of('trusted_documents_file')} is set and {name_of('trusted_documents')} is off: no document is "
            f"trusted. Set {name_of('trusted_documents')} to allow or require"
        )
