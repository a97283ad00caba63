"""Trusted documents and the text behind a query_hash, as an operator asks for them."""

import hashlib
import json

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.operator.interface import (
    ConflictError,
    Document,
    NotAppliedError,
    NotFoundError,
    OperatorError,
)
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores import StoreError
from fraiseql_guard.stores.documents import MAX_DOCUMENT_BYTES, TrustedDocument

ME, YOU, ALL = "query Me{me{id}}", "query You{you{id}}", "query All{all{id}}"


def quiet(_event, _fields):
    """Takes the lines of the audit."""


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"me": ME}))
    return file


@pytest.fixture
def silent(store, monkeypatch):
    """Make the store fall silent."""

    async def fail(*_args):
        raise StoreError("timeout", "no answer")

    def now():
        for method in ("index", "texts", "add", "remove"):
            monkeypatch.setattr(store.documents, method, fail)

    return now


async def test_a_list_tells_all_but_the_texts(make_operator, manifest) -> None:
    operator = make_operator(trusted_documents_file=manifest)
    await operator.trust([Document(id="you", text=YOU)])
    assert await operator.documents() == [
        Document(id="me", query_hash=sha(ME), size_bytes=len(ME), source="file"),
        Document(id="you", name="You", type="query", query_hash=sha(YOU), size_bytes=len(YOU), source="store"),
    ]


@pytest.mark.parametrize(
    ("document", "problem", "field"),
    [
        (Document(id="x", text="{"), "'x': it is not GraphQL", "text"),
        (Document(id="x", text="fragment F on T{a}"), "it has no operation", "text"),
        (Document(id="x", text='{a(x:"' + "é" * (MAX_DOCUMENT_BYTES // 2) + '")}'), "are accepted", "text"),
        (Document(id="x" * 257, text=ME), "1 to 256 printable", "id"),
        (Document(id="a\nb", text=ME), "1 to 256 printable", "id"),
    ],
)
async def test_what_cannot_be_trusted_is_refused_with_all_that_came_along(make_operator, document, problem, field):
    operator = make_operator()
    with pytest.raises(OperatorError, match=problem) as caught:
        await operator.trust([Document(id="", text=YOU), document])
    assert caught.value.field == field
    assert await operator.documents() == []


async def test_a_full_store_says_what_it_takes(make_operator, monkeypatch) -> None:
    monkeypatch.setattr("fraiseql_guard.stores.documents.MAX_DOCUMENTS", 1)
    with pytest.raises(ConflictError, match="there is no room"):
        await make_operator().trust([Document(id="", text=ME), Document(id="", text=YOU)])


async def test_a_manifest_that_has_another_text_wins_and_one_that_cannot_be_read_says_nothing(make_operator, manifest):
    operator = make_operator(trusted_documents_file=manifest)
    with pytest.raises(ConflictError, match="and it would hold"):
        await operator.trust([Document(id="me", text=YOU)])
    manifest.write_text("no manifest")
    assert (await operator.trust([Document(id="me", text=YOU)])).affected == 1
    with pytest.raises(NotAppliedError, match="cannot be read"):
        await operator.documents()


async def test_what_is_taken_back_and_stays_in_the_manifest_is_said(make_operator, manifest) -> None:
    operator = make_operator(trusted_documents_file=manifest)
    with pytest.raises(NotFoundError, match=r"the store has no document me\. The manifest .*manifest\.json has it"):
        await operator.distrust("me")
    await operator.trust([Document(id="me", text=ME)])
    assert "remove it from that file" in (await operator.distrust("me")).message
    with pytest.raises(NotFoundError, match=r"^the store has no document x$"):
        await operator.distrust("x")


async def test_a_text_is_found_in_the_manifest_the_store_and_the_process_in_this_order(store, manifest, silent) -> None:
    remembered = [(sha(text), text) for text in (ME, YOU, ALL)]
    settings = Settings.load({}, trusted_documents_file=manifest)
    operator = StoreOperator(store, settings, audit=quiet, remembered=lambda: remembered)
    await store.documents.add([TrustedDocument("stored", YOU, "You"), TrustedDocument("same", ME)])
    found = [await operator.document(sha(text)[:16].upper()) for text in (ME, YOU, ALL)]
    assert [(each.id, each.source, each.text) for each in found] == [
        ("me", "file", ME), ("stored", "store", YOU), (sha(ALL), "process", ALL),
    ]  # fmt: skip
    silent()
    assert (await operator.document(sha(YOU))).source == "process"
    with pytest.raises(NotFoundError, match=r"trusted documents \(it does not answer\), what this worker"):
        await operator.document("0" * 64)


async def test_more_than_one_is_none(store) -> None:
    twins = [("0123456789ab" + "0" * 52, ME), ("0123456789ab" + "f" * 52, YOU)]
    operator = StoreOperator(store, Settings.load({}), audit=quiet, remembered=lambda: twins)
    with pytest.raises(OperatorError, match="2 documents have a query_hash that begins with 0123456789ab"):
        await operator.document("0123456789ab")
    assert (await operator.document("0123456789abf")).text == YOU
    for wrong in ("0123456789a", "g" * 12, "a" * 65, ""):
        with pytest.raises(OperatorError, match="is no query_hash"):
            await operator.document(wrong)


async def test_a_worker_that_does_not_look_at_them_says_so(store, make_operator) -> None:
    settings = Settings.load({})
    done = await StoreOperator(store, settings, audit=quiet, remembered=list).trust([Document(id="", text=ME)])
    assert "FRAISEQL_GUARD_TRUSTED_DOCUMENTS is off in this worker" in done.message
    assert "is off" not in (await make_operator().trust([Document(id="", text=ME)])).message
