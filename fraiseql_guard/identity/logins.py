"""Login identifiers (names, addresses, numbers that people type) and the subjects that failed logins count for."""

from __future__ import annotations

import json
import unicodedata
from typing import Final

from fraiseql_guard.core.callers import Subject

MAX_IDENTIFIER_CHARACTERS: Final = 255
_KIND: Final = "login"


def canonical_identifier(identifier: str) -> str:
    """The canonical spelling of a login identifier: trimmed, NFKC (Unicode TR15), case-folded, at most 255 characters.

    Two accounts that fold into one share at most a lockout, at one address.
    """
    # Cut first: a body may bring any text. NFKC before and after folding, because folding may undo it.
    text = identifier.strip()[:MAX_IDENTIFIER_CHARACTERS].encode("utf-8", "replace").decode()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return text.strip()[:MAX_IDENTIFIER_CHARACTERS]


def login_subject(identifier: str, address: Subject) -> Subject:
    """The subject of an identifier at one address (/32, or the IPv6 prefix), so that the owner of the account is
    another subject elsewhere."""
    return Subject(_KIND, json.dumps([canonical_identifier(identifier), address.name], separators=(",", ":")))


def read_login(subject: Subject) -> tuple[str, str] | None:
    """The identifier and the address's name in the subject of a login; None for any other subject."""
    if subject.kind != _KIND:
        return None
    try:
        identifier, address = json.loads(subject.name)
    except (ValueError, TypeError, RecursionError):  # the name was not made by login_subject
        return None
    return (identifier, address) if isinstance(identifier, str) and isinstance(address, str) else None
