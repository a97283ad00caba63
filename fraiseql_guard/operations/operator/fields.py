"""The fields of requests to the operator's API: how each form of value is read, written and described.

A reader takes a value as JSON has it, or a query parameter as text, and returns it. Its ValueError completes the
sentence that begins with the field's name: "duration_seconds ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.core import parsing
from fraiseql_guard.core.limit_key import MAX_VALUE_BYTES, read_key
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES
from fraiseql_guard.core.signals import WITH_MODE
from fraiseql_guard.operations.operator.blocks import CURSOR_PATTERN
from fraiseql_guard.operations.operator.documents import QUERY_HASH as QUERY_HASH_PATTERN
from fraiseql_guard.operations.operator.interface import Origin
from fraiseql_guard.stores.overrides import LONGEST_SECONDS
from fraiseql_guard.stores.sanction_pages import CURSOR_PATTERN as STORE_CURSOR

Schema = Mapping[str, Any]

_ALL: Final = "all"
_ORIGINS: Final = (*(each.value for each in Origin), _ALL)

_LONGEST_TEXT: Final = 255
_LONGEST_VALUE: Final = 65_536
_REQUESTS: Final = "[1-9][0-9]{0,8}/"
_WINDOW: Final = rf"{_REQUESTS}(s|second|m|min|minute|h|hour|d|day|w|week|[1-9][0-9]{{0,3}}s)"
_LONGER: Final = rf"([,+]{_REQUESTS}(h|hour))?([,+]{_REQUESTS}(d|day))?([,+]{_REQUESTS}(w|week))?"
_LIMIT: Final = rf"^({_WINDOW}|({_REQUESTS}(s|second)[,+])?{_REQUESTS}(m|min|minute){_LONGER})$"
"""One window, or several that grow. The reader takes any, none twice."""
_KEY_PART: Final = (
    r"(tenant:[!-$&-*,-~]{1,512}|claim:[!-$&-*,-~]{1,64}:[!-$&-*,-9;-~]{1,512}"
    r"|(header:[a-z0-9][a-z0-9-]{0,63}|function)#[0-9a-f]{24})"
)
_OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_KEY_PLACE: Final = rf"(user:[A-Za-z0-9._@-]{{1,200}}|address:{_OCTET}(\.{_OCTET}){{3}})"
_KEY: Final = rf"^({_KEY_PART}|{_KEY_PLACE}\+({_KEY_PART}|{_KEY_PLACE}))(\+({_KEY_PART}|{_KEY_PLACE}))*$"
"""Keys as lists have them. The reader also takes IPv6 addresses, users of a stated issuer and other characters."""
_WITHOUT_CONTROLS: Final = r"^[^\x00-\x1f\x7f]*$"
_LINES: Final = r"^[\t\n\r ]*[^\x00-\x20\x7f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Text of several lines."""
_NOT_BLANK: Final = r"^ *[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
"""What a JSON Schema can say of printable text. The reader refuses everything else that Unicode calls not printable."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class FieldForm:
    """One form of value: how the API reads it, its JSON Schema, and how a client writes it (None: it is left out)."""

    read: Callable[[Any], Any]
    schema: Schema
    write: Callable[[Any], Any] = _as_it_is


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body, or a parameter of a query or path. One that is not given takes the operator's own default,
    unless it is ``required``."""

    name: str
    form: FieldForm
    doc: str
    required: bool = False
    argument: str = ""
    """The argument of the Operator's method that takes it, where that has another name. ``target`` and ``documents``
    take several fields (route.py)."""
    default: Any = None
    """The value of a field that is not given, where the method has no default."""

    @property
    def taken_as(self) -> str:
        """The name of the argument that takes the field."""
        return self.argument or self.name


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    if not value.strip() or not value.isprintable():
        raise ValueError("is empty or not printable text")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"is longer than {_LONGEST_TEXT} characters")
    return value


def _value(value: Any) -> str:
    """The value of a variable, which may have several lines."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not text with anything in it")
    if len(value) > _LONGEST_VALUE:
        raise ValueError(f"is longer than {_LONGEST_VALUE} characters")
    if not all(character.isprintable() or character in "\n\r\t" for character in value):
        raise ValueError("is not printable text")
    return value


def _document(value: Any) -> str:
    """Any text: the operator itself checks whether it is GraphQL, and the bound of the body holds for its length."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not the text of a document")
    return value


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    return read_key(value)


def _remark(value: Any) -> str:
    return _text(value) if not isinstance(value, str) or value.strip(" ") else ""


def _address(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    try:
        parsing.network(value)
    except ValueError:
        raise ValueError("is neither an address nor a network, as 203.0.113.7 or 203.0.113.0/24") from None
    return value


def _seconds(value: Any) -> float:
    # True is an int in Python, and no number of seconds.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number of seconds")
    if not 1 <= value <= LONGEST_SECONDS:
        raise ValueError(f"is outside 1 to {LONGEST_SECONDS:.0f} seconds")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _yes(value: Any) -> bool:
    if value is not True:
        raise ValueError("is not true")
    return True


def _limit(value: Any) -> str:
    """A rate. A bare number means a minute, as in FraiseQL's runbooks."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema calls 5.0 an integer
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value}/minute"
    if not isinstance(value, str):
        raise ValueError("is not a rate such as 100/minute")
    return str(parsing.rate(value))


def _count(value: Any) -> int:
    # A query parameter is text.
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError("is not a whole number from 1 to 1000")
    return value


def _closing_code(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema calls 4503.0 an integer
    if isinstance(value, bool) or not isinstance(value, int) or not 4000 <= value <= 4999:
        raise ValueError("is not a whole number from 4000 to 4999")
    return value


def _origin(value: Any) -> Origin | None:
    if value not in _ORIGINS:
        raise ValueError(f"is not one of {', '.join(_ORIGINS)}")
    return None if value == _ALL else Origin(value)


def _choice(*words: str) -> FieldForm:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return str(value)

    return FieldForm(read, {"type": "string", "enum": list(words)})


def _matching(pattern: str, accepts: str, write: Callable[[Any], Any] = _as_it_is) -> FieldForm:
    compiled = re.compile(pattern, re.ASCII)

    def read(value: Any) -> str:
        if not isinstance(value, str) or compiled.search(value) is None or value.endswith("\n"):
            raise ValueError(f"is not {accepts}")
        return value

    return FieldForm(read, {"type": "string", "pattern": pattern}, write)


def _cursor(pattern: str) -> FieldForm:
    """A page's cursor; the first page has none."""
    return _matching(f"^{pattern}$", "what a page has given as its next_cursor", lambda cursor: cursor or None)


TEXT: Final = FieldForm(
    _text, {"type": "string", "minLength": 1, "maxLength": _LONGEST_TEXT, "pattern": _NOT_BLANK, "example": "alice"}
)
VALUE: Final = FieldForm(
    _value, {"type": "string", "minLength": 1, "maxLength": _LONGEST_VALUE, "pattern": _LINES, "example": "100/minute"}
)
KEY: Final = FieldForm(
    _key,
    {
        "type": "string", "minLength": 1, "maxLength": 8 * MAX_VALUE_BYTES, "pattern": _KEY,
        "example": "tenant:acme",
    },
)  # fmt: skip
REMARK: Final = FieldForm(_remark, {"type": "string", "maxLength": _LONGEST_TEXT, "pattern": _WITHOUT_CONTROLS})
ADDRESS: Final = FieldForm(
    _address, {"type": "string", "maxLength": 64, "format": "ip-network", "example": "203.0.113.7"}
)
"""An address, or a network in CIDR notation."""
ONE_ADDRESS: Final = FieldForm(_address, {**ADDRESS.schema, "format": "ip-address"})
"""One address. The operator refuses a network that holds several callers."""
SECONDS: Final = FieldForm(_seconds, {"type": "number", "minimum": 1, "maximum": LONGEST_SECONDS})
FLAG: Final = FieldForm(_flag, {"type": "boolean"})
YES: Final = FieldForm(_yes, {"type": "boolean", "enum": [True]}, lambda said: said or None)
"""A flag that is given or left out."""
LIMIT: Final = FieldForm(
    _limit,
    {
        "anyOf": [{"type": "string", "pattern": _LIMIT}, {"type": "integer", "minimum": 1, "maximum": 999_999_999}],
        "example": "1000/minute",
    },
)
COUNT: Final = FieldForm(_count, {"type": "integer", "minimum": 1, "maximum": 1000})
CURSOR: Final = _cursor(STORE_CURSOR)
BLOCKS_CURSOR: Final = _cursor(CURSOR_PATTERN)
ORIGIN: Final = FieldForm(
    _origin, {"type": "string", "enum": list(_ORIGINS)}, lambda origin: _ALL if origin is None else origin.value
)
"""An Origin; None is every origin."""
MODE: Final = _choice("enforce", "monitor")
PROTECTION: Final = _choice("all", *(each.value for each in WITH_MODE))
VARIABLE: Final = FieldForm(
    _text, {"type": "string", "enum": [row.name for row in VARIABLES if row.option in CHANGEABLE]}
)
DIGEST: Final = _matching("^[0-9a-f]{64}$", "the SHA-256 of a document in lower case hexadecimal")
QUERY_HASH: Final = _matching(f"^{QUERY_HASH_PATTERN}$", "12 to 64 lower case hexadecimal digits")
DOCUMENT: Final = FieldForm(_document, {"type": "string", "minLength": 1, "example": "query Me { me { id } }"})
OPERATION_TYPE: Final = _choice("query", "mutation", "subscription")
OPERATION_NAME: Final = _matching("^[_A-Za-z][_0-9A-Za-z]{0,254}$", "the name of an operation")
CLOSING_CODE: Final = FieldForm(_closing_code, {"type": "integer", "minimum": 4000, "maximum": 4999})
REQUEST_ID: Final = _matching("^[0-9A-Za-z-]{1,64}$", "a request id")
