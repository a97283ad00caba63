"""Reads media types: the one of a Content-Type with its parameters, and those that a client accepts (Accept).

Source: RFC 9110, sections 5.6.6 (parameters), 8.3.1 (media types) and 12.5.1 (Accept).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

JSON: Final = "application/json"
GRAPHQL_RESPONSE: Final = "application/graphql-response+json"
EVENTS: Final = "text/event-stream"
FORM: Final = "multipart/form-data"

_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]++"  # a token
_QUOTED: Final = r"\"((?:[^\"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*+)\""
_TYPE: Final = re.compile(rf"[ \t]*+({_WORD}/{_WORD})")
# A parameter may be empty. Unquoted values may hold more than the RFC allows, as clients write addresses there.
_PARAMETER: Final = re.compile(rf"[ \t]*+;[ \t]*+(?:({_WORD})=(?:([^\s;,\"]++)|{_QUOTED}))?+")
_BLANK: Final = re.compile(r"[ \t]*+")
_ESCAPED: Final = re.compile(r"\\(.)")
_WEIGHT: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")
_LONGEST_ACCEPT: Final = 2_000
"""Most characters of an Accept header that is read; a longer one is treated as absent."""

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type (in lower case) with its parameters: names in lower case, values without quotes."""

    name: str
    parameters: Parameters


def is_form(content_type: str) -> bool:
    """Whether a Content-Type is that of a multipart form."""
    return content_type.partition(";")[0].strip(" \t").lower() == FORM


def read_media_type(text: str) -> MediaType | None:
    """The media type in a Content-Type; None if it is not well-formed."""
    found, end = _media_type_at(text, 0)
    return found if end == len(text) else None


def _media_type_at(text: str, begin: int) -> tuple[MediaType | None, int]:
    """The media type that begins at an offset (None if there is none), and the offset of its end."""
    match = _TYPE.match(text, begin)
    if match is None:
        return None, begin
    parameters, end = [], match.end()
    while parameter := _PARAMETER.match(text, end):
        end = parameter.end()
        name, value, quoted = parameter.groups()
        # An empty parameter (two semicolons) is allowed since RFC 9110, 5.6.6.
        if name is not None:
            parameters.append((name.lower(), _ESCAPED.sub(r"\1", quoted) if value is None else value))
    blank = _BLANK.match(text, end)
    return MediaType(match[1].lower(), parameters), blank.end() if blank else end


@dataclass(frozen=True, slots=True)
class Preference:
    """How much a client wants a media type: ``weight`` is 0 (not at all) to 1. ``precision`` is that of the range which
    says so: the type itself (3), ``type/*`` (2), ``*/*`` (1), or no range (0)."""

    weight: float = 0.0
    precision: int = 0


_ANYTHING: Final = Preference(1.0, 1)


def preference(accept: str, name: str) -> Preference:
    """The preference of an Accept header for a media type, by the most specific range; weight 0 if none matches.

    Parameters of a range other than its weight are ignored.
    """
    # No Accept header, or an empty one, accepts everything (RFC 9110, 12.5.1).
    if not accept.strip(" \t,") or len(accept) > _LONGEST_ACCEPT:
        return _ANYTHING
    # From the most specific range to the least.
    ranges = (name, f"{name.partition('/')[0]}/*", "*/*")
    found: dict[str, float] = {}
    for accepted in accepted_ranges(accept):
        if accepted.name in ranges:
            # A type that is named twice has the higher of its weights.
            found[accepted.name] = max(_weight(accepted.parameters), found.get(accepted.name, 0.0))
    return next((Preference(found[each], 3 - n) for n, each in enumerate(ranges) if each in found), Preference())


def accepted_ranges(accept: str) -> Iterator[MediaType]:
    """The well-formed ranges of an Accept header, in its order; none of a header over 2,000 characters."""
    begin = 0
    while begin < len(accept) <= _LONGEST_ACCEPT:
        # A range that is not well-formed is left out up to the next comma.
        accepted, end = _media_type_at(accept, begin)
        comma = accept.find(",", end)
        if accepted is not None and end == (len(accept) if comma < 0 else comma):
            yield accepted
        begin = comma + 1 if comma >= 0 else len(accept)


def _weight(parameters: Parameters) -> float:
    given = next((value for name, value in parameters if name == "q"), "1")
    # A malformed weight is ignored, so that the type counts as wanted.
    return min(1.0, float(given)) if _WEIGHT.fullmatch(given) else 1.0


def answer_type(accept: str) -> str:
    """The media type of a GraphQL answer: graphql-response+json for clients that name it and do not prefer plain JSON,
    or that do not accept plain JSON; else plain JSON."""
    # Only headers of a bounded length are cached, so that callers cannot fill the memory.
    return _answer_type(accept) if accept and len(accept) <= _LONGEST_ACCEPT else JSON


@lru_cache(maxsize=256)
def _answer_type(accept: str) -> str:
    response, plain = preference(accept, GRAPHQL_RESPONSE), preference(accept, JSON)
    if response.weight == plain.weight:
        # Old clients send */* and expect plain JSON, so the newer type has to be named.
        return GRAPHQL_RESPONSE if response.weight and response.precision == 3 else JSON
    return GRAPHQL_RESPONSE if response.weight > plain.weight else JSON


def prefers_events(accept: str) -> bool:
    """Whether an Accept header names server-sent events and prefers them to JSON."""
    # This test settles nearly all requests that want JSON.
    return "event-stream" in accept.lower() and len(accept) <= _LONGEST_ACCEPT and _prefers_events(accept)


@lru_cache(maxsize=256)
def _prefers_events(accept: str) -> bool:
    events, others = preference(accept, EVENTS), (preference(accept, GRAPHQL_RESPONSE), preference(accept, JSON))
    best = max(each.weight for each in others)
    if events.weight == best:
        return events.precision == 3 and best > 0 and all(each.precision < 3 for each in others)
    return events.precision == 3 and events.weight > best
