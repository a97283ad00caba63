"""Reads a client's operation: parses its document and validates it against the app's schema, before it is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)

from fraiseql_guard.core.lru import Lru

_DOCUMENTS: Final = 512
_BYTES: Final = 2 * 1024 * 1024
"""Most characters of documents that are remembered as valid; their trees take some ten times as much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOperation:
    """One valid operation with its variables. ``document`` and ``kind`` are None for an operation that the client names
    by its hash."""

    document: DocumentNode | None
    name: str | None
    variables: dict[str, Any] | None
    kind: OperationType | None
    payload: Mapping[str, Any]


class InvalidOperationError(Exception):
    """The operation cannot be executed; ``errors`` say why."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class DocumentReader:
    """Reads operations of one schema, and remembers which documents are valid."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._valid = Lru[str, DocumentNode](_DOCUMENTS, max_bytes=_BYTES)

    def read(self, payload: Any) -> HostOperation:
        """The operation of an envelope: ``query``, ``variables``, ``operationName``, ``extensions``.

        InvalidOperationError if it cannot be executed. An operation named by its hash is not validated here: FraiseQL
        finds its document and validates it.
        """
        envelope = _Envelope(payload)
        source, name = envelope.of("query", str), envelope.of("operationName", str)
        variables, extensions = envelope.of("variables", dict), envelope.of("extensions", dict)
        document = None
        if source is not None:
            document = self._document(source)
        elif not extensions or "persistedQuery" not in extensions:
            raise InvalidOperationError([GraphQLError("The operation has no query.")])
        return HostOperation(
            document=document, name=name, variables=variables, payload=payload,
            kind=None if document is None else _operation_type(document, name),
        )  # fmt: skip

    def _document(self, source: str) -> DocumentNode:
        known = self._valid.get(source)
        if known is not None:
            return known
        try:
            document = parse(source)
            errors = validate(self.schema, document)
        except GraphQLError as error:
            raise InvalidOperationError([error]) from None
        except RecursionError:  # raised by older versions of graphql-core
            raise InvalidOperationError([GraphQLError("The document is nested too deeply.")]) from None
        if errors:
            raise InvalidOperationError(errors)
        self._valid.put_sized(source, document, len(source))
        return document


def _operation_type(document: DocumentNode, name: str | None) -> OperationType:
    operation = get_operation_ast(document, name)
    if operation is not None:
        return operation.operation
    problem = "The document has several operations, or none: name one." if name is None else f"No operation is {name}."
    raise InvalidOperationError([GraphQLError(problem)])


class _Envelope:
    """The members of an envelope, each of its type."""

    def __init__(self, payload: Any) -> None:
        if not isinstance(payload, Mapping):
            raise InvalidOperationError([GraphQLError("The operation is no JSON object.")])
        self._payload = payload

    def of(self, name: str, kind: type[Any]) -> Any:
        """A member, or None if it is absent or null."""
        value = self._payload.get(name)
        if value is not None and not isinstance(value, kind):
            raise InvalidOperationError([GraphQLError(f"{name} has the wrong type.")])
        return value
