"""The keys that limits count by: the form of the setting, and the text of keys.

A key is a text of parts, the same for operators, the store, log lines and lists of limits: ``tenant:acme``,
``claim:org:7``, ``header:x-api-key#3f2a…``, ``tenant:acme+address:203.0.113.9``. A value that may be a secret (of a
header, or from the app's own function) is replaced by ``#`` and its digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from fraiseql_guard.core import parsing

MAX_VALUE_BYTES: Final = 512
"""Longest value of a part; a longer one counts as missing."""
BY_FUNCTION: Final = "function"
"""Kind of the key that the app's own function returns."""
_DIGEST_BYTES: Final = 12
_DIGEST: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)
_WORDS: Final = ("user", "address", "tenant")
_CHOSEN_AT_WILL: Final = frozenset({"address", "header"})
"""Kinds of parts of which a caller may have any number of values."""
_PLAIN: Final = "!\"#$&'()*,-./:;<=>?@[\\]^_`{|}~"
"""Characters that are not percent-encoded; without the plus sign, which divides parts, and the percent sign."""
_PLAIN_IN_CLAIMS: Final = _PLAIN.replace(":", "")
"""As _PLAIN, for values of claims: the name of a claim, which may be a URL, ends at the last colon."""


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part: ``user``, ``address``, ``tenant``, ``header`` or ``claim``, the last two with the name of one."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def of(self, value: str) -> str:
        """The part of a key with this value."""
        if self.kind == "header":
            return f"{self}#{digest(value)}"
        return f"{self}:{_written(value, _PLAIN_IN_CLAIMS if self.kind == 'claim' else _PLAIN)}"


@dataclass(frozen=True, slots=True)
class RateLimitKey:
    """The parts that limits count by. Parsed from ``tenant+header:X-API-Key``, and written so."""

    parts: tuple[KeyPart, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))

    @property
    def ordinary(self) -> bool:
        """Whether limits count by the user, else the address, as without the setting."""
        return self.parts == (KeyPart("user"),)

    @property
    def chosen_at_will(self) -> bool:
        """Whether one caller can have any number of keys: by new headers, or by new addresses beside another part. An
        address alone pays for the networks around it."""
        kinds = {part.kind for part in self.parts}
        return "header" in kinds or (len(self.parts) > 1 and not kinds.isdisjoint(_CHOSEN_AT_WILL))

    @property
    def headers(self) -> frozenset[bytes]:
        """Names of the headers that the key is made of, in lower case."""
        return frozenset(part.name.encode() for part in self.parts if part.kind == "header")


def rate_limit_key(value: object) -> RateLimitKey:
    """``user``, ``address``, ``tenant``, ``header:NAME`` or ``claim:NAME``, or several joined with ``+``."""
    if isinstance(value, RateLimitKey):
        return value
    parts = tuple(map(_part, str(value).split("+")))
    if len(set(parts)) < len(parts):
        raise ValueError("names a part twice")
    return RateLimitKey(parts)


def _part(text: str) -> KeyPart:
    word, colon, name = text.strip().partition(":")
    word, name = word.strip().lower(), name.strip()
    if word in _WORDS and not colon:
        return KeyPart(word)
    if word == "header":
        return KeyPart(word, parsing.header_name(name))
    if word == "claim" and name and name.isprintable() and "#" not in name and len(name) <= 64:
        return KeyPart(word, name)
    raise ValueError("is not user, address, tenant, header:NAME, claim:NAME, or several of them with + between")


# --- names of keys ----------------------------------------------------------------------------------------------------


def digest(value: str) -> str:
    """The digest that replaces a value which may be a secret."""
    return blake2b(value.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def _written(value: str, plain: str) -> str:
    """A value in the form of a key: characters that would divide or hide parts are percent-encoded."""
    return quote(value, safe=plain, errors="surrogatepass")


def joined(parts: Iterable[str]) -> str:
    """The key of several parts."""
    return "+".join(parts)


def key_of_function(text: str) -> str:
    """The key for a text that the app's own function has returned."""
    return f"{BY_FUNCTION}#{digest(text)}"


def read_key(text: str) -> str:
    """The store's form of a key that an operator has written: ``header:X-API-Key:VALUE`` and ``function:TEXT`` get
    their digest. ValueError if the text is no key."""
    if not text.strip() or not text.isprintable() or len(text) > 8 * MAX_VALUE_BYTES:
        raise ValueError("is no key of a limit")
    return joined(map(_read_part, text.strip().split("+")))


def _read_part(text: str) -> str:
    word, _, rest = text.strip().partition(":")
    word = word.lower()
    if rest and word in _WORDS:
        return KeyPart(word).of(plain(rest))
    name, _, value = rest.rpartition(":")
    if word == "claim" and name and value:
        return KeyPart("claim", name).of(plain(value))
    if word == "header" and rest:
        return _digested("header", rest)
    if word.partition("#")[0] == BY_FUNCTION:
        return _digested("", text.strip())
    raise ValueError(
        "is no key of a limit: tenant:NAME, claim:NAME:VALUE, header:NAME#DIGEST as log lines have it, "
        "header:NAME:VALUE or function:TEXT, or several with + between"
    )


def _digested(word: str, rest: str) -> str:
    """A part with a digest, which the text gives, or which is made of the value."""
    name, mark, found = rest.partition("#")
    if mark and _DIGEST.fullmatch(found) and ":" not in name:
        value = found
    else:
        name, _, secret = rest.partition(":")
        if not secret:
            raise ValueError("is no key of a limit: it lacks the value, or the 24 digits of its digest")
        value = digest(plain(secret))
    name = parsing.header_name(name) if word else name.lower()
    return f"{word}:{name}#{value}" if word else f"{name}#{value}"


def plain(value: str) -> str:
    """The value before it was written into a key: percent-decoded."""
    return unquote_to_bytes(value).decode(errors="replace")
