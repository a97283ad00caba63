"""Takes the names that a GraphQL library suggests out of the app's errors: with them a schema can be guessed although
introspection is denied."""

from __future__ import annotations

import re
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.graphql.http.raw_json import members

MARK: Final = b"Did you mean"
"""An answer without it is left as it is."""
_SUGGESTION: Final = re.compile(rb' ?Did you mean (?=[^"?])[^"\\?]*+(?:\\.[^"\\?]*+)*+(\?)?+')
"""As graphql-core and graphql-js write it, inside a JSON string, whose end it never passes. Without the question mark
it is none, and the match reaches the end of the string: so what a caller repeats in a literal is read once."""


def without_suggestions(ctx: RequestContext, body: bytes) -> bytes | None:  # noqa: ARG001 - an edit of an answer
    """The answer without suggestions in its errors; None if there are none. Nothing in ``data`` is ever touched."""
    if MARK not in body or not body.lstrip().startswith(b"{"):
        return None
    errors = members(body).get("errors")
    if errors is None:
        return None
    cleaned = _SUGGESTION.sub(_without, body[errors])
    return body[: errors.start] + cleaned + body[errors.stop :]


def _without(found: re.Match[bytes]) -> bytes:
    return b"" if found[1] else found[0]
