"""Measures every operation of an app, and finds those that the guard would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.cost.schema_table import SchemaSource, SchemaTable
from fraiseql_guard.operations.document_audit.source_files import AppOperations
from fraiseql_guard.operations.explain import ExplainedRefusal, Explanation, explain

UNREADABLE: Final = "UNREADABLE"
"""The code of a document that could not be read."""


@dataclass(frozen=True, slots=True)
class AuditedOperation:
    """One operation with its numbers and the refusal that it would meet.

    ``place`` is the file and the line. ``limits`` has the operation's number by the option that limits it; it is empty,
    and ``complexity`` None, if the operation could not be measured. ``code`` is that of the refusal, UNREADABLE, or
    empty if the operation passes; ``detail`` explains it.
    """

    operation: str
    kind: str
    place: str
    query_hash: str
    complexity: int | None
    limits: Mapping[str, float]
    code: str
    detail: str
    path: str | None = None
    limit: float | None = None
    actual: float | None = None

    @property
    def passes(self) -> bool:
        """Whether the guard would let the operation pass."""
        return not self.code


@dataclass(frozen=True, slots=True)
class DocumentAudit:
    """All operations of an app, refused ones first, and the largest number for each limit. ``files`` is the number of
    files with documents."""

    files: int
    operations: tuple[AuditedOperation, ...]
    largest: Mapping[str, tuple[float, float, str]]
    """By option: the largest number, the limit, and the operation with that number."""

    @property
    def refused(self) -> int:
        """The number of operations that would be refused."""
        return sum(not each.passes and each.code != UNREADABLE for each in self.operations)

    @property
    def unreadable(self) -> int:
        """The number of documents that could not be read."""
        return sum(each.code == UNREADABLE for each in self.operations)


def audit_documents(
    found: AppOperations,
    settings: Settings,
    *,
    schema: SchemaSource | SchemaTable | None = None,
    variables: Mapping[str, Mapping[str, Any]] | None = None,
) -> DocumentAudit:
    """Measure all found operations, and compare them with the limits of the settings.

    ``variables`` are sample variables by the name of the operation; without them an operation is measured like a
    request that sends none. SettingsError if the schema cannot be loaded.
    """
    table = schema if isinstance(schema, SchemaTable) else load_schema(schema)
    audited = [_unreadable("", "", str(place), reason) for place, reason in found.unreadable]
    largest: dict[str, tuple[float, float, str]] = {}
    for each in found.operations:
        place = str(each.place)
        if each.fault:
            audited.append(_unreadable(each.name, each.kind, place, each.fault))
            continue
        own = (variables or {}).get(each.name)
        explanation = explain(each.text, settings, schema=table, variables=own, operation_name=each.name or None)
        audited.append(_audited(each.name, each.kind, place, explanation))
        for limit in explanation.limits:
            if limit.setting not in largest or limit.actual > largest[limit.setting][0]:
                largest[limit.setting] = (limit.actual, limit.limit, each.name or place)
    return DocumentAudit(found.files, tuple(sorted(audited, key=_order)), largest)


def _unreadable(name: str, kind: str, place: str, reason: str) -> AuditedOperation:
    return AuditedOperation(name, kind, place, "", None, {}, UNREADABLE, reason)


def _audited(name: str, kind: str, place: str, explanation: Explanation) -> AuditedOperation:
    refusal = explanation.refusal or ExplainedRefusal("", 0, "", "", None, None, None)
    return AuditedOperation(
        operation=name,
        kind=kind,
        place=place,
        query_hash=explanation.query_hash,
        complexity=explanation.complexity,
        limits={each.setting: each.actual for each in explanation.limits},
        code=refusal.code,
        detail=refusal.detail or refusal.message,
        path=refusal.path,
        limit=refusal.limit,
        actual=refusal.actual,
    )


def _order(each: AuditedOperation) -> tuple[bool, bool, int, str]:
    """Sort key: refused operations, then unreadable documents, then the others; the dearest first."""
    return each.passes, each.code == UNREADABLE, -(each.complexity or 0), each.place
