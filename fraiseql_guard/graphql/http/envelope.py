"""The envelope of a GraphQL request: which document, which operation, which variables. What is ambiguous is refused.

Source: GraphQL over HTTP, sections 5 (request) and 6 (media types).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.graphql.denials import malformed, over
from fraiseql_guard.graphql.http.media_types import GRAPHQL_RESPONSE, JSON, read_media_type
from fraiseql_guard.graphql.http.strict_json import JsonLoader, NotStrictError, json_stats

_MEDIA_TYPES: Final = frozenset({JSON, GRAPHQL_RESPONSE})
_USUAL_TYPES: Final = frozenset(
    {JSON, *(f"{JSON};{blank}charset={name}" for blank in ("", " ") for name in ("utf-8", "UTF-8"))}
)
"""The Content-Type headers of nearly all clients, as they write them: these need not be parsed."""
_KEYS: Final[Mapping[str, tuple[type, str]]] = {
    "query": (str, "a string"),
    "operationName": (str, "a string or null"),
    "variables": (dict, "an object or null"),
    "extensions": (dict, "an object or null"),
}
_JSON_PARAMETERS: Final = ("variables", "extensions")
GENERAL_NAME: Final = "id"
DOCUMENT_NAMES: Final = ("documentId", "doc_id", "docId", "document_id", "queryId", "query_id", GENERAL_NAME)
"""Keys of a request that name a trusted document. ``id`` may also mean something else to the client."""
_MAX_PARAMETERS: Final = 100


@dataclass(slots=True)
class Envelope:
    """One request for one operation. It is never changed, but not frozen, because each request would pay for that.

    ``query`` is None if the request does not carry its document. Then the extension persistedQuery has its hash, or
    ``document`` its name, with the key under which it stood. Where documents are trusted, both may be sent.
    """

    query: str | None
    operation_name: str | None
    variables: Mapping[str, Any]
    extensions: Mapping[str, Any]
    document: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class UnreadableEnvelope:
    """The refusal of a request without a valid envelope. ``query`` is the text of its document, for the log."""

    denial: Denial
    query: str


Envelopes = tuple[Envelope, ...] | Denial | UnreadableEnvelope
"""The envelopes of a request (several in a batch), or its refusal."""


class EnvelopeReader:
    """Reads envelopes of POST and GET requests. The limits come from the settings."""

    __slots__ = (
        "_batching",
        "_loader",
        "_max_batch",
        "_max_depth",
        "_max_nodes",
        "_max_total",
        "_names",
    )

    def __init__(self, settings: Settings) -> None:
        self._batching = settings.batching
        self._names = DOCUMENT_NAMES if settings.trusted_documents != "off" else ()
        self._max_batch = settings.max_batch_size
        self._max_depth = settings.max_variables_depth
        self._max_nodes = settings.max_variables_nodes
        # Most values of a body: those of the variables, and room for extensions and unknown keys.
        self._max_total = (self._max_nodes + 1000) * (self._max_batch if self._batching else 1)
        # A trusted document may have any length.
        bounded = settings.trusted_documents == "off"
        self._loader = JsonLoader(self._max_total, max_decoded_chars=settings.max_query_chars if bounded else math.inf)

    def read(self, method: str, content_type: str, query_string: bytes, body: bytes) -> Envelopes:
        """Read the envelopes of a request; a refusal if it is not well-formed or too large."""
        if method == "POST":
            return self._read_post(content_type, query_string, body)
        if method not in ("GET", "HEAD"):
            return Denial(signals.METHOD_NOT_ALLOWED, headers=((b"allow", b"GET, HEAD, POST"),))
        if body:
            # A body of GET has no meaning (RFC 9110, 9.3.1): a host that reads it would see another request.
            return malformed("A GET request must not have a body.")
        parameters = _parameters(query_string, self._names)
        return parameters if isinstance(parameters, Denial) else self._from_parameters(parameters)

    def _read_post(self, content_type: str, query_string: bytes, body: bytes) -> Envelopes:
        if content_type not in _USUAL_TYPES and not is_json(content_type):
            return Denial(signals.UNSUPPORTED_MEDIA_TYPE)
        # GraphQL parameters in the URL of a POST must agree with its body.
        given = _parameters(query_string) if query_string else {}
        if isinstance(given, Denial):
            return given
        envelopes = self._from_body(body)
        return _agreeing(envelopes, given) if given and isinstance(envelopes, tuple) else envelopes

    def _from_body(self, body: bytes) -> Envelopes:
        try:
            value, (depth, nodes, _) = self._loader.load(body)
        except NotStrictError as error:
            # The parser gave up before it had a value: only the text hints that the variables are too deep.
            return self._unloadable(error, "The body", of_variables=b'"variables"' in body)
        if nodes > self._max_total:
            return over(signals.VARIABLES_TOO_LARGE, self._max_nodes, nodes)
        # A list is a batch, an object one request.
        if type(value) is list:
            return self._batch(value) if self._batching else Denial(signals.BATCHING_DISABLED)
        if type(value) is not dict:
            return malformed("The body must be an object.")
        # The number of values below the request's own members: the variables cannot have more.
        inside = nodes - len(value)
        # If the whole body is small enough, so are its variables (one level below the root), and need no own count.
        envelope = self._envelope(value, small=depth <= self._max_depth + 1 and inside <= self._max_nodes)
        return _unusable(envelope, value) if isinstance(envelope, Denial) else (envelope,)

    def _unloadable(self, error: NotStrictError, what: str, *, of_variables: bool) -> Denial:
        if error.too_deep and of_variables:
            return over(signals.VARIABLES_TOO_DEEP, self._max_depth, self._max_depth + 1)
        return malformed(f"{what} {error}.")

    def _batch(self, items: list[Any]) -> tuple[Envelope, ...] | Denial:
        if not 0 < len(items) <= self._max_batch:
            too_many = f"The batch holds too many operations. {name_of('max_batch_size')} decides this."
            detail = too_many if items else "A batch must not be empty."
            return Denial(signals.BAD_REQUEST, detail=detail, limit=self._max_batch, actual=len(items))
        envelopes = []
        for item in items:
            envelope = self._envelope(item) if type(item) is dict else malformed("A batch must hold objects alone.")
            if isinstance(envelope, Denial):
                return envelope
            envelopes.append(envelope)
        return tuple(envelopes)

    def _from_parameters(self, parameters: dict[str, str]) -> Envelopes:
        # variables and extensions are JSON in a URL; the other parameters are text.
        found: dict[str, Any] = dict(parameters)
        for name in _JSON_PARAMETERS:
            # Forms send empty fields for what is not filled in.
            if not (text := found.pop(name, "")):
                continue
            try:
                found[name], (_, nodes, _) = self._loader.load(text.encode())
            except NotStrictError as error:
                return self._unloadable(error, name, of_variables=name == "variables")
            if nodes > self._max_total:
                return over(signals.VARIABLES_TOO_LARGE, self._max_nodes, nodes)
        envelope = self._envelope(found)
        return _unusable(envelope, found) if isinstance(envelope, Denial) else (envelope,)

    def _envelope(self, found: dict[str, Any], *, small: bool = False) -> Envelope | Denial:
        """The envelope of one parsed request. ``small``: its variables are known to be within their limits."""
        # 1. Types, before anything reads a value.
        if (mistyped := _mistyped(found)) is not None:
            return malformed(f"{mistyped} must be {_KEYS[mistyped][1]}.")
        variables = found.get("variables") or {}
        # 2. The size of the variables.
        if not small and (denial := self._too_large(found, variables)):
            return denial
        # 3. null and an empty value stand for none.
        envelope = Envelope(
            query=found.get("query"),
            operation_name=found.get("operationName") or None,
            variables=variables,
            extensions=found.get("extensions") or {},
            document=self._document(found) if self._names else None,
        )
        # 4. Something must say which document is meant.
        if envelope.query is None and not _names_document(envelope):
            return malformed("query is missing.")
        return envelope

    def _document(self, found: dict[str, Any]) -> tuple[str, str] | None:
        """The first key that names a document, and the name; None if no key does."""
        for key in self._names:
            value = found.get(key)
            if isinstance(value, str) and value:
                return key, value
        return None

    def _too_large(self, found: dict[str, Any], variables: dict[str, Any]) -> Denial | None:
        depth, nodes, _ = json_stats(variables)
        if depth > self._max_depth:
            return over(signals.VARIABLES_TOO_DEEP, self._max_depth, depth)
        if nodes > self._max_nodes:
            return over(signals.VARIABLES_TOO_LARGE, self._max_nodes, nodes)
        if json_stats(found)[0] > self._max_depth + 1:  # hosts parse what they do not read, too
            return malformed("The request is nested too deeply.")
        return None


def _names_document(envelope: Envelope) -> bool:
    """Whether a request names a document."""
    return envelope.document is not None or envelope.extensions.get("persistedQuery") is not None


def _mistyped(found: Mapping[str, Any]) -> str | None:
    """The first key of a request whose value has a wrong type; None if there is none."""
    for key, value in found.items():
        if value is None or key not in _KEYS or type(value) is _KEYS[key][0]:
            continue
        if not _is_none(key, value):
            return key
    return None


def _is_none(key: str, value: Any) -> bool:
    """Whether a value stands for an empty object: [] (as PHP writes it) or an empty text, in variables or
    extensions."""
    return key in _JSON_PARAMETERS and value in ([], "")


def _agreeing(envelopes: tuple[Envelope, ...], given: Mapping[str, str]) -> Envelopes:
    """The envelopes of a body if the URL's parameters agree with it, else a refusal: hosts disagree which one
    counts."""
    # Some clients repeat operationName in the URL, so that access logs show it. It changes nothing if it agrees.
    if given.keys() != {"operationName"}:
        return malformed("A POST request must not carry GraphQL parameters but operationName in its URL.")
    name = given["operationName"] or None
    if any(each.operation_name != name for each in envelopes):
        return malformed("The URL names another operation than the body.")
    return envelopes


def _unusable(denial: Denial, found: Mapping[str, Any]) -> Denial | UnreadableEnvelope:
    query = found.get("query")
    # The document's hash goes to the log even if the rest cannot be read.
    return UnreadableEnvelope(denial, query) if type(query) is str else denial


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is one of GraphQL's JSON types, in UTF-8."""
    found = read_media_type(content_type)
    if found is None or found.name not in _MEDIA_TYPES:
        return False
    # One charset at most; JSON is UTF-8 (RFC 8259, 8.1).
    return [value.lower() for name, value in found.parameters if name == "charset"] in ([], ["utf-8"])


def _parameters(query_string: bytes, names: Sequence[str] = ()) -> dict[str, str] | Denial:
    """The GraphQL parameters of a query string, without others; a refusal if one is repeated."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        return malformed("The URL's parameters are not UTF-8, or too many.")
    found: dict[str, str] = {}
    for name, value in pairs:
        # Parameters of a load balancer or of tracing are no part of the request.
        if name not in _KEYS and name not in names:
            continue
        # Of a repeated parameter some frameworks take the first, some the last.
        if name in found:
            return malformed(f"{name} is given twice.")
        found[name] = value
    return found
