"""The manifest of trusted documents, as its file on this host is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fraiseql_guard import signals
from fraiseql_guard.admin.values import Document
from fraiseql_guard.graphql.documents import Manifest, parse_manifest, write_manifest
from fraiseql_guard.operator.bench import Audit
from fraiseql_guard.operator.interface import Done, NotAppliedError, NotFoundError


class ManifestFile:
    """Reads and changes it. Every worker that reads this file follows within 5 seconds; other hosts have their own."""

    def __init__(self, path: Path | None, audit: Audit) -> None:
        self._path = path
        self._audit = audit

    def documents(self) -> Sequence[Document]:
        """All of them; none without a manifest. NotAppliedError if it cannot be read."""
        if self._path is None:
            return []
        found = self._read(self._path).documents.values()
        return [Document(id=each.id, name=each.name, type=each.type, text=each.text) for each in found]

    def remove(self, id_: str, *, actor: str) -> Done:
        """Trust a document no longer. NotFoundError if the manifest has none of this id."""
        manifest = None if self._path is None else self._read(self._path)
        if self._path is None or manifest is None or id_ not in manifest.documents:
            raise NotFoundError(f"the manifest has no document {id_[:64]}", field="id")
        try:
            write_manifest(self._path, manifest.without([id_]))
        except OSError as error:
            raise NotAppliedError(f"the manifest {self._path} cannot be written: {error}") from None
        self._audit(signals.ADMIN_DISTRUST, {"actor": actor, "document": id_, "manifest": str(self._path)})
        where = "every worker that reads this host's manifest follows within 5 s"
        return Done(message=f"{id_} is trusted no longer: {where}.", affected=1)

    @staticmethod
    def _read(path: Path) -> Manifest:
        try:
            return parse_manifest(path.read_bytes())
        except (OSError, ValueError) as error:
            raise NotAppliedError(f"the manifest {path} cannot be read: {error}") from None
