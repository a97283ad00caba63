"""Login identifiers (names, addresses, numbers that people type) and the subjects that their failures count for."""

from __future__ import annotations

import json
import unicodedata
from typing import Final

from fraiseql_guard.core.callers import Subject

MAX_IDENTIFIER_CHARACTERS: Final = 255
_KIND: Final = "login"


def canonical_identifier(identifier: str) -> str:
    """One spelling for what people take for one name: trimmed, NFKC (Unicode TR15), without case, 255 characters.

    Folding too much would join two accounts, but only at one address, where they share at most a lockout.
    """
    # Cut first: a body may bring any text. NFKC before and after folding, because folding may undo it.
    text = identifier.strip()[:MAX_IDENTIFIER_CHARACTERS].encode("utf-8", "replace").decode()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return text.strip()[:MAX_IDENTIFIER_CHARACTERS]


def login_subject(identifier: str, address: Subject) -> Subject:
    """An identifier at one address (/32, or the prefix of IPv6): the account's owner elsewhere is another subject."""
    return Subject(_KIND, json.dumps([canonical_identifier(identifier), address.name], separators=(",", ":")))


def read_login(subject: Subject) -> tuple[str, str] | None:
    """The identifier and the name of the address of a login's subject; None of any other subject."""
    if subject.kind != _KIND:
        return None
    try:
        identifier, address = json.loads(subject.name)
    except (ValueError, TypeError, RecursionError):  # the name was not made by login_subject
        return None
    return (identifier, address) if isinstance(identifier, str) and isinstance(address, str) else None
