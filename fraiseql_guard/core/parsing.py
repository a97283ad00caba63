"""Parsers from the text of a variable, or a keyword argument's value, to a typed value.

Every parser takes what an environment variable or a caller may give and returns the value, or raises ``ValueError``
whose text completes the sentence "NAME='value' ...". Parsers never repeat the value: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from fraiseql_guard.core.token_buckets import Burst, Limit, Rate
from fraiseql_guard.core.translated import embedded_network

T = TypeVar("T", bound=Collection[str])
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_WINDOWS: Final[Mapping[str, int]] = {
    "second": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86_400, "d": 86_400,
    "week": 604_800, "w": 604_800,
}  # fmt: skip
_LONGEST_WINDOW: Final = 4 * 604_800
_RATE: Final = re.compile(r"([0-9]{1,9})\s*+/\s*+([0-9]{0,7})\s*+([a-z]+?)s?", re.ASCII)
_ACTOR: Final = re.compile(r"[-._@0-9A-Za-z]{1,64}", re.ASCII)
_TAKEN_HEADERS: Final = frozenset({
    "accept", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie",
    "forwarded", "host", "origin", "referer", "te", "traceparent", "transfer-encoding", "upgrade", "user-agent",
    "x-request-id", "x-real-ip", "x-requested-with",
})  # fmt: skip
_PATTERN: Final = re.compile(r"[{}<>*?#]")
"""What routers' templates and patterns have and a decoded path has not."""
NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]*", re.ASCII)
"""A GraphQL name."""


def boolean(value: object) -> bool:
    """``true``/``false``, ``yes``/``no``, ``on``/``off``, ``1``/``0``."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def integer(minimum: int, maximum: int = 2**53) -> Callable[[object], int]:
    """A whole number from ``minimum`` to ``maximum``."""

    def parse(value: object) -> int:
        # True is an int to Python, and surely a mistake here.
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("is not a whole number")
        # int() would also take underscores and digits of other scripts.
        if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value, re.ASCII):
            raise ValueError("is not a whole number")
        number = int(value)
        if not minimum <= number <= maximum:
            raise ValueError(f"is outside {minimum} to {maximum}")
        return number

    return parse


def seconds(value: object) -> float:
    """A duration in seconds, more than zero, fractions allowed."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    # NaN compares as false, and so is refused here.
    if not 0 < number <= 86_400:
        raise ValueError("is not a number of seconds between 0 and 86400")
    return number


def text(value: object) -> str:
    """Printable text that is not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("is empty or not printable text")
    return value.strip()


def choice(*names: str) -> Callable[[object], str]:
    """One of a few words."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        if word not in names:
            raise ValueError(f"is not one of {', '.join(names)}")
        return word

    return parse


def subset(*names: str) -> Callable[[object], tuple[str, ...]]:
    """A list of some of a few words."""

    def parse(value: object) -> tuple[str, ...]:
        found = items(value)
        # !a writes other characters out, since the message may reach a terminal.
        if unknown := [item for item in found if item not in names]:
            raise ValueError(f"holds {unknown[0][:40]!a}, which is none of {', '.join(names)}")
        return found

    return parse


def some_of(*names: str) -> Callable[[object], tuple[str, ...]]:
    """The same, at least one of them."""
    parse = subset(*names)

    def parse_some(value: object) -> tuple[str, ...]:
        found = parse(value)
        if not found:
            raise ValueError("is empty")
        return found

    return parse_some


def rate_limit_headers(value: object) -> tuple[str, ...]:
    """A list of kinds of headers, or ``none`` alone."""
    found = some_of("standard", "legacy", "none")(value.lower() if isinstance(value, str) else value)
    if "none" in found and len(found) > 1:
        raise ValueError("combines none with other values")
    return found


def keys(value: object) -> tuple[str, ...]:
    """A list of keys of JSON objects, of up to 64 printable characters each."""
    complaint = "is not a list of keys of up to 64 printable characters"
    return some_that_are(lambda key: key.isprintable() and len(key) <= 64, items(value), complaint)


def rate(value: object) -> Rate:
    """A rate of one or several windows, after commas or plus signs: ``100/minute``, ``5/second, 1000/hour``."""
    if isinstance(value, Rate):
        return value
    if isinstance(value, Limit):
        return Rate((value,))
    return Rate(tuple(one_window(part) for part in re.split("[,+]", str(value))))


def one_window(value: object) -> Limit:
    """A rate of one window: ``100/minute``, ``5/second``, ``1000/hour``, ``10/30s``, ``1/2weeks``."""
    if isinstance(value, Limit):
        return value
    match = _RATE.fullmatch(str(value).strip().lower())
    unit = _WINDOWS.get(match[3]) if match else None
    if match is None or unit is None:
        raise ValueError("is not a rate limit (a number, a slash, and a window)")
    tokens, window = int(match[1]), int(match[2] or 1) * unit
    if tokens < 1 or not 1 <= window <= _LONGEST_WINDOW:
        raise ValueError("is not a rate limit: at least 1 request, a window from 1 second to 4 weeks")
    return Limit(tokens, window)


def burst(value: object) -> Burst:
    """What a full bucket holds above its rate: a number of requests, or a share of the rate (``20%``)."""
    if isinstance(value, Burst):
        return value
    number = str(value).strip()
    if isinstance(value, str) and number.endswith("%"):
        return Burst(percent=integer(0, 1000)(number[:-1].rstrip()))
    return Burst(integer(0)(value))


def items(value: object) -> tuple[str, ...]:
    """A list: comma-separated text, or a sequence of texts. Empty entries are dropped."""
    parts: Iterable[object] = value.split(",") if isinstance(value, str) else _sequence(value)
    return tuple(stripped for part in parts if (stripped := str(part).strip()))


def all_that_are(is_one: Callable[[str], object], found: T, complaint: str) -> T:
    """The texts, if each of them is one; else ValueError with the complaint."""
    if not all(map(is_one, found)):
        raise ValueError(complaint)
    return found


def some_that_are(is_one: Callable[[str], object], found: T, complaint: str) -> T:
    """The same, at least one of them."""
    if not found:
        raise ValueError(complaint)
    return all_that_are(is_one, found, complaint)


def _sequence(value: object) -> Iterable[object]:
    # Iterating a mapping or bytes would give keys or numbers without an error.
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise ValueError("is not a list")
    return value


def names(value: object) -> tuple[str, ...]:
    """A list of GraphQL names."""
    return all_that_are(NAME.fullmatch, items(value), "holds something that is not a GraphQL name")


def paths(value: object) -> tuple[str, ...]:
    """A list of URL paths, each beginning with a slash; ``/`` alone means every path."""
    complaint = "is not a list of paths that begin with /"
    found = some_that_are(lambda path: path.startswith("/") and path.isprintable(), items(value), complaint)
    # A route's template would cover the route in every report, and none of its requests.
    if any(map(_PATTERN.search, found)):
        raise ValueError("has a path with a parameter or a pattern, which no request has: give its fixed beginning")
    # One spelling: a slash at the end makes no other path.
    return tuple(path.rstrip("/") or "/" for path in found)


def optional_paths(value: object) -> tuple[str, ...]:
    """A list of URL paths that may be empty."""
    return paths(value) if items(value) else ()


def path(value: object) -> str:
    """One URL path."""
    found = paths(value)
    if len(found) != 1:
        raise ValueError("is not one path that begins with /")
    return found[0]


def admin_path(value: object) -> str:
    """One URL path that is not the root, so that something is left to the app."""
    found = path(value)
    # Browsers and proxies resolve dot segments, so that such a path would never arrive.
    plain = re.fullmatch(r"(/[-._~0-9A-Za-z]+)+", found, re.ASCII)
    if plain is None or not {".", ".."}.isdisjoint(found.split("/")):
        raise ValueError("is not a path of plain segments below /")
    return found


def scope(value: object) -> str:
    """One scope (RFC 6749, section 3.3)."""
    name = text(value)
    if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}", name):
        raise ValueError("is not one scope")
    return name


def admin_tokens(value: object) -> Mapping[str, str]:
    """``name=token`` pairs, one a line or after commas: tokens by the name of who has them."""
    found: dict[str, str] = {}
    for item in items(str(value).replace("\n", ",")):
        name, _, token = item.partition("=")
        name, token = name.strip(), token.strip()
        if not _ACTOR.fullmatch(name) or name in found:
            raise ValueError("does not give each token a name of its own (letters, digits, dots, dashes, @)")
        if not re.fullmatch(r"[\x21-\x7e]{32,512}", token):
            raise ValueError("holds a token that is shorter than 32 bytes, longer than 512, or not printable ASCII")
        found[name] = token
    if not found:
        raise ValueError("holds no token")
    # The audit names the actor by the token: one token must be one actor.
    if len(set(found.values())) < len(found):
        raise ValueError("gives one token two names")
    return found


def network(value: object) -> Network:
    """An address or a network in CIDR notation. IPv4-mapped and translated IPv6 is IPv4, as callers' addresses are."""
    written = str(value).strip()
    complaint = "holds something that is neither an address nor a network (zones are not accepted)"
    if "%" in written:
        raise ValueError(complaint)
    try:
        found = ipaddress.ip_network(written, strict=False)
    except ValueError:
        raise ValueError(complaint) from None
    if isinstance(found, ipaddress.IPv4Network):
        return found
    return _mapped(found) or embedded_network(found) or found


def _mapped(found: ipaddress.IPv6Network) -> ipaddress.IPv4Network | None:
    """The IPv4 network that an IPv4-mapped one is (RFC 4291, 2.5.5.2); None of any other."""
    mapped = found.network_address.ipv4_mapped
    # Mapped addresses are ::ffff:0:0/96, so that a shorter prefix holds others as well.
    if mapped is None or found.prefixlen < 96:
        return None
    return ipaddress.IPv4Network((int(mapped), found.prefixlen - 96))


def header_name(value: object) -> str:
    """The name of a request header."""
    name = text(value).lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
        raise ValueError("is not the name of a header")
    return name


def dotted_path(value: object) -> str:
    """Keys of objects inside each other, joined by dots."""
    path = text(value)
    if len(path) > 255 or not all(path.split(".")):
        raise ValueError("is not a list of keys joined by dots")
    return path


def credential_header(value: object) -> str:
    """The name of a request header that says nothing but who sends it."""
    name = header_name(value)
    if name in _TAKEN_HEADERS or name.startswith(("sec-", "proxy-", "access-control-", "x-forwarded-")):
        raise ValueError("is a header that has another meaning")
    return name


def cookie_name(value: object) -> str:
    """The name of a cookie (RFC 6265): a token."""
    name = text(value)
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", name, re.ASCII):
        raise ValueError("is not the name of a cookie")
    return name


def namespace(value: object) -> str:
    """What all keys of ours in a shared store begin with. No colon: it ends there, so that none begins as another."""
    name = text(value)
    if not re.fullmatch(r"[0-9A-Za-z][-._0-9A-Za-z]{0,63}", name, re.ASCII):
        raise ValueError("is not up to 64 letters, digits, dots, dashes and underscores")
    return name


def origins(value: object) -> tuple[str, ...]:
    """Origins of browsers (scheme, host and port), or ``*``."""
    origin = re.compile(r"\*|https?://[^/\s]+")
    return all_that_are(origin.fullmatch, items(value), "holds something that is not an origin")


def file_path(value: object) -> Path:
    """A path of the file system."""
    return value if isinstance(value, Path) else Path(text(value))
