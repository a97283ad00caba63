"""``fraiseql-guard documents``: the manifest of trusted documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fraiseql_guard.cli.support import told
from fraiseql_guard.graphql.documents import (
    ManifestForm,
    TrustedDocument,
    document_of,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from fraiseql_guard.settings import Settings, name_of

documents = typer.Typer(help="The trusted documents in a manifest.", no_args_is_help=True)
_ManifestOption = Annotated[
    Path | None, typer.Option(help=f"The manifest; else {name_of('trusted_documents_file')}.", show_default=False)
]


@documents.command("add")
def add_documents(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files with one GraphQL document each.")],
    manifest: _ManifestOption = None,
    form: Annotated[ManifestForm, typer.Option(help="Form of a manifest that is new.")] = ManifestForm.APOLLO,
) -> None:
    """Trust documents: put them into the manifest under the SHA-256 of their text."""
    with told():
        place = _manifest_place(manifest)
        known = read_manifest(place, new=form)
        found = [_document_in(file) for file in files]
        write_manifest(place, known.with_documents(found))
    for each in found:
        print(each.id, each.type, each.name or "-", sep="\t")


@documents.command("list")
def list_documents(manifest: _ManifestOption = None) -> None:
    """Print the documents of the manifest: id, type and name, one on a line."""
    with told():
        known = parse_manifest(_manifest_place(manifest).read_bytes())
    for id_, each in sorted(known.documents.items()):
        print(id_, each.type or "-", each.name or "-", sep="\t")


@documents.command("remove")
def remove_documents(
    names: Annotated[list[str], typer.Argument(metavar="FILE|ID...", help="Files with documents, or their ids.")],
    manifest: _ManifestOption = None,
) -> None:
    """Trust documents no longer: take them out of the manifest."""
    with told():
        place = _manifest_place(manifest)
        known = parse_manifest(place.read_bytes())
        ids = [_document_in(Path(name)).id if Path(name).is_file() else name for name in names]
        if missing := [name for name, id_ in zip(names, ids, strict=True) if id_ not in known.documents]:
            raise ValueError(f"{place} has no {missing[0]}")
        write_manifest(place, known.without(ids))


def _manifest_place(given: Path | None) -> Path:
    place = given or Settings.load().trusted_documents_file
    if place is None:
        raise ValueError(f"which manifest? Give --manifest PATH, or set {name_of('trusted_documents_file')}")
    return place


def _document_in(file: Path) -> TrustedDocument:
    try:
        return document_of(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
