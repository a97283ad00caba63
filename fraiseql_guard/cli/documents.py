"""``fraiseql-guard documents``: the trusted documents of a manifest, or of the whole fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fraiseql_guard.cli.audit import CommandAudit
from fraiseql_guard.cli.connect import AsOption, FleetConnection, UrlOption, acting, ask
from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.output import print_done
from fraiseql_guard.cli.render import JsonOption, print_list
from fraiseql_guard.cli.targets import command_line
from fraiseql_guard.core import signals
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Event
from fraiseql_guard.graphql.documents.manifests import (
    ManifestForm,
    document_of,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from fraiseql_guard.operations.operator.documents import AUDITED, FILE, STORE, document_shown
from fraiseql_guard.operations.operator.interface import ConflictError, Document, Done
from fraiseql_guard.stores.documents import TrustedDocument, listed

_COLUMNS: Final = ("id", "type", "name", "source")

documents = typer.Typer(help="The trusted documents of the fleet, or of a manifest.", no_args_is_help=True)
_ManifestOption = Annotated[
    Path | None,
    typer.Option(
        help=f"A manifest, instead of the fleet; else, without a fleet, {name_of('trusted_documents_file')}.",
        show_default=False,
    ),
]
_FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Files with one GraphQL document each, or manifests (.json)."),
]


@documents.command("add")
def add_documents(
    files: _FilesArgument,
    manifest: _ManifestOption = None,
    form: Annotated[ManifestForm, typer.Option(help="Form of a manifest that is new.")] = ManifestForm.APOLLO,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trust documents: by the SHA-256 of their text, or by the ids that a manifest gives them. All, or none."""
    with exit_on_error():
        place = _place(manifest, url)
        # All files are read before anything is changed.
        found = _distinct(each for file in files for each in _documents_in(file))
        if place is not None:
            _add_to(place, found, form, acting_as)
            _print(_shown(found, FILE), as_json)
            return
        wanted = _shown(found, STORE)
        done = ask(url, lambda fleet: fleet.operator.trust(wanted, actor=fleet.actor), acting_as=acting_as)
    if not as_json:
        _print(wanted, as_json)
    # One document can be undone with one command; several would make a line that is too long to copy.
    undo = command_line("documents", "remove", found[0].id, url=url) if len(found) == 1 else None
    print_done(done, done.message.rstrip("."), as_json=as_json, undo=undo)


def _add_to(place: Path, found: Sequence[TrustedDocument], form: ManifestForm, acting_as: str | None) -> None:
    """Add documents to the manifest ``place``. ConflictError, before the file is changed, if an id in it stands for
    another text."""
    known = read_manifest(place, new=form)
    _distinct([*known.documents.values(), *found])
    write_manifest(place, known.with_documents(found))
    # The audit names a bounded number of ids, and how many there are.
    ids = [each.id for each in found]
    new = sum(each not in known.documents for each in ids)
    facts = {"documents": ids[:AUDITED], "count": len(ids), "added": new}
    _audit_manifest(signals.ADMIN_TRUST, place, facts, acting_as)


@documents.command("list")
def list_documents(manifest: _ManifestOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Print the trusted documents: id, type, name, and where they come from, one on a line."""
    with exit_on_error():
        place = _place(manifest, url)
        if place is not None:
            known = parse_manifest(place.read_bytes()).documents
            _print(_shown((known[id_] for id_ in sorted(known)), FILE), as_json)
            return
        found = ask(url, lambda fleet: fleet.operator.documents())
    _print(found, as_json)


@documents.command("remove")
def remove_documents(
    names: Annotated[
        list[str], typer.Argument(metavar="FILE|ID...", help="Files with documents or manifests (.json), or ids.")
    ],
    manifest: _ManifestOption = None,
    acting_as: AsOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trust documents no longer."""
    with exit_on_error():
        place = _place(manifest, url)
        # Each id once, in the order in which they were given.
        ids = list(dict.fromkeys(id_ for name in names for id_ in _ids_in(name)))
        if not ids:
            raise ValueError(f"{', '.join(names)} names no document")
        if place is not None:
            _remove_from(place, ids, acting_as)
            return
        done = ask(url, lambda fleet: _remove(fleet, ids), acting_as=acting_as)
    print_done(done, as_json=as_json)


def _remove_from(place: Path, ids: Sequence[str], acting_as: str | None) -> None:
    """Take documents out of a manifest. ValueError, and none is taken out, if the manifest lacks one of the ids."""
    known = parse_manifest(place.read_bytes())
    if missing := [id_ for id_ in ids if id_ not in known.documents]:
        raise ValueError(f"{place} has no {missing[0]}")
    write_manifest(place, known.without(ids))
    for id_ in ids:
        _audit_manifest(signals.ADMIN_DISTRUST, place, {"document": id_}, acting_as)


async def _remove(fleet: FleetConnection, ids: Sequence[str]) -> Done:
    """Stop trusting documents of the fleet. An id that the fleet lacks comes first, so that its error ends the command
    before any document is removed."""
    stored = {each.id for each in await fleet.operator.documents() if each.source == STORE}
    # False sorts before True: ids that are not stored come first.
    done = [await fleet.operator.distrust(id_, actor=fleet.actor) for id_ in sorted(ids, key=stored.__contains__)]
    return replace(
        done[0], message=" ".join(each.message for each in done), affected=sum(each.affected for each in done)
    )


def _audit_manifest(event: Event, place: Path, facts: Mapping[str, Any], acting_as: str | None) -> None:
    settings = Settings.load()
    CommandAudit(settings)(event, {"actor": acting(settings, acting_as), **facts, "manifest": str(place)})


def _place(manifest: Path | None, url: str | None) -> Path | None:
    """The manifest that a command changes or lists; None for the fleet's documents. ValueError if neither is configured
    or given."""
    if manifest is not None and url is not None:
        raise ValueError("--manifest and --url are two places: give one of them")
    settings = Settings.load()
    # A configured fleet comes before the manifest of the settings: there the change takes effect at once.
    if manifest is not None or url is not None or settings.redis_url is not None:
        return manifest
    if settings.trusted_documents_file is None:
        raise ValueError(
            f"which documents? Those of a manifest: --manifest PATH, or {name_of('trusted_documents_file')}; those of "
            f"the fleet: {name_of('redis_url')}, or --url https://HOST/admin"
        )
    return settings.trusted_documents_file


def _documents_in(file: Path) -> Sequence[TrustedDocument]:
    try:
        # By the file's suffix: a manifest is JSON, and no GraphQL document is.
        if file.suffix == ".json":
            return list(parse_manifest(file.read_bytes()).documents.values())
        return [document_of(file.read_text(encoding="utf-8"))]
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _ids_in(name: str) -> Sequence[str]:
    """The ids of the documents in the file of this name; the name itself, as an id, if there is no such file."""
    return [each.id for each in _documents_in(Path(name))] if Path(name).is_file() else [name]


def _distinct(found: Iterable[TrustedDocument]) -> Sequence[TrustedDocument]:
    """The documents, each id once. ConflictError if an id stands for two texts."""
    by_id: dict[str, TrustedDocument] = {}
    for each in found:
        if by_id.setdefault(each.id, each).text != each.text:
            raise ConflictError(f"the id {each.id[:64]} stands for two texts: nothing was added")
    return list(by_id.values())


def _shown(found: Iterable[TrustedDocument], source: str) -> Sequence[Document]:
    return [document_shown(listed(each), source, each.text) for each in found]


def _print(found: Sequence[Document], as_json: bool) -> None:
    print_list(found, _COLUMNS, attrgetter(*_COLUMNS), none="No document is trusted.", as_json=as_json)
