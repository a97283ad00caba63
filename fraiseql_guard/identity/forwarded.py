"""Reads the hops that a forwarding header names, nearest first.

Every proxy appends the address of its peer to the right, so a walk from the right meets trusted text before forged
text. The walk is lazy: text to the left of the caller's address is never parsed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final

from fraiseql_guard.identity.networks import Address, parse_address

MAX_HOPS: Final = 20
MAX_HEADER_BYTES: Final = 2048
LISTING_HEADERS: Final = ("x-forwarded-for", "forwarded")
"""Headers that hold a list of hops."""

_PORT: Final = re.compile(
    r":(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)", re.ASCII
)  # RFC 7239, section 6: a port may be obfuscated
_PAIR: Final = re.compile(
    r"""[ \t]*+(?:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)="""
    r"""(?:"(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)"|(?P<plain>[^\s",;]*+)))?+[ \t]*+(?:;|\Z)""",
    re.ASCII,
)
"""A parameter of an element. Possessive, so that it never backtracks, whatever the header."""
_MARK: Final = re.compile(r'[",]')
_ESCAPED: Final = re.compile(r"\\(.)")


def hops(header: str, value: bytes) -> Iterator[Address | None]:
    """The addresses in a ``header``, from right to left. None stands for a hop that cannot be read (garbage, an
    obfuscated identifier, or anything beyond 20 hops or 2 KiB); hops after it must not be trusted.

    ``x-forwarded-for`` is a list of addresses, ``forwarded`` is RFC 7239; any other header has a single address.
    """
    # Keep the end, where the nearest hops stand.
    text = value[-MAX_HEADER_BYTES:].decode("latin-1")
    if len(value) > MAX_HEADER_BYTES:
        text = "?" + text  # the element that was cut must not be read as a shorter address
    read = 0
    for element in _ELEMENTS.get(header, _single)(text):
        if not element or element.isspace():
            continue  # RFC 9110, section 5.6.1.2: empty elements of a list mean nothing
        read += 1
        # No real chain of proxies is so long.
        if read > MAX_HOPS:
            yield None
            return
        yield node_address(parameter(element, "for") if header == "forwarded" else element)


def node_address(text: str | None) -> Address | None:
    """The address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]`` or ``[2001:db8::1]:80``; None
    for any other text."""
    written = (text or "").strip(" \t")
    # Brackets hold IPv6 with or without a port; one colon alone divides IPv4 and a port.
    if written.startswith("["):
        host, bracket, behind = written[1:].partition("]")
        if not bracket or ":" not in host:
            return None
    elif written.count(":") == 1:
        host, colon, port = written.partition(":")
        behind = colon + port
    else:
        return parse_address(written)
    return parse_address(host) if not behind or _PORT.fullmatch(behind) else None


def _single(text: str) -> Iterator[str]:
    yield text


def _listed(text: str) -> Iterator[str]:
    # Twice as many elements as hops, since empty ones do not count.
    return reversed(text.rsplit(",", MAX_HOPS * 2))


def elements(text: str) -> Iterator[str]:
    """The elements of a Forwarded header, the last first.

    Split at commas outside quotes, from the right: an unbalanced quote that a client sent cannot swallow what its proxy
    appended.
    """
    # Only commas and quotation marks matter.
    end, quoted = len(text), False
    for position in reversed([mark.start() for mark in _MARK.finditer(text)]):
        if text[position] == ",":
            if not quoted:
                yield text[position + 1 : end]
                end = position
        elif not (quoted and _is_escaped(text, position)):
            quoted = not quoted
    yield text[:end]


def _is_escaped(text: str, position: int) -> bool:
    # An odd number of backslashes before a quotation mark escapes it.
    begin = position
    while begin and text[begin - 1] == "\\":
        begin -= 1
    return (position - begin) % 2 == 1


def parameter(element: str, name: str) -> str | None:
    """A parameter of an element of a Forwarded header, such as ``for`` or ``host`` (in lower case); None if the element
    is malformed or has none or several of this name."""
    found: list[str] = []
    position = 0
    while position < len(element):
        pair = _PAIR.match(element, position)
        # Something that is no pair, or an empty one that would not advance: the element is malformed.
        if pair is None or pair.end() == position:
            return None
        position = pair.end()
        if pair["name"] and pair["name"].lower() == name:
            quoted = pair["quoted"]
            found.append(pair["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted))
    # Of two parameters with one name it is unknown which one the proxy wrote.
    return found[0] if len(found) == 1 else None


def first_element(value: bytes) -> str:
    """The first element of a Forwarded header, which the proxy nearest to the client has written. Empty for a header of
    more than 2 KiB."""
    if len(value) > MAX_HEADER_BYTES:
        return ""
    return deque(elements(value.decode("latin-1")), maxlen=1)[0]


_ELEMENTS: Final = {"x-forwarded-for": _listed, "forwarded": elements}
