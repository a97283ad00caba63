"""Whatever names, reasons, log lines and answers hold, a terminal gets text; at 80 columns no word of it is broken."""

import ast
import hashlib
import io
import json
import re
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import fraiseql_guard.cli
from fraiseql_guard.cli import app, top
from fraiseql_guard.cli.render import harmless, print_line, print_text, warn
from fraiseql_guard.cli.tables import table_of
from fraiseql_guard.core import signals
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.operations.operator.interface import Action, Offender, Refusal, Status, Target, Worker
from fraiseql_guard.operations.operator.json_values import to_plain
from fraiseql_guard.operations.operator.records import (
    CallerCounts,
    Heartbeat,
    Seen,
    write_action,
    write_heartbeat,
    write_refusal,
)
from fraiseql_guard.stores.documents import TrustedDocument
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.redis.store import RedisStore
from tests.cli.fleet import TOKEN, Operator
from tests.support.peer import peer
from tests.support.redis_server import RedisServer

COMMANDS = Path(fraiseql_guard.cli.__file__).parent
HOSTILE = (
    "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    + "\x1b]0;owned\x07\x1b[2J\u202egpj.exe\u2066\u2069\u200e\u200f\u061c\u2028\u2029\ufeff\u00ad\U000e0041\x9b31m"
)
"""Every C0 and C1 control, sequences that a terminal obeys, and what reverses, hides or ends a line of text."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""The only sequences of our own."""
MARKED = {"X-FraiseQL-Guard": "operator-api"}


def is_harmless(text: str) -> bool:
    return all(each.isprintable() or each in "\n\t" for each in _STYLE.sub("", text))


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def typed(monkeypatch, environment, *words: str) -> tuple[str, str]:
    """What a command says on a terminal: its output, and its errors."""
    for name, value in {**environment, "COLUMNS": "80", "LINES": "40", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    try:
        app(list(words), standalone_mode=False)
    except SystemExit:
        pass
    finally:
        monkeypatch.undo()
    return out.getvalue(), err.getvalue()


# --- one place prints -------------------------------------------------------------------------------------------------


def test_nothing_of_the_command_prints_by_itself():
    ours = {"render.py", "tables.py"}
    for file in COMMANDS.glob("*.py"):
        if file.name in ours:
            continue
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        assert not names & {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"}
        assert not [name for name in names if name.endswith(".console.print")], file.name


@given(st.text(st.characters(codec=None), max_size=60))
def test_whatever_is_printed_is_harmless(text):
    shown = harmless(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    out, err = io.StringIO(), io.StringIO()
    held = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        print_line(text)
        print_text(text)
        warn(text)
    finally:
        sys.stdout, sys.stderr = held
    assert is_harmless(out.getvalue() + err.getvalue())
    assert err.getvalue().count("\n") == 1


# --- tables -----------------------------------------------------------------------------------------------------------

words = st.text("abcXYZ_0123456789:.漢", min_size=1, max_size=40)
cells = st.lists(words, max_size=4).map(" ".join)


@given(
    st.integers(1, 7).flatmap(
        lambda columns: st.tuples(
            st.lists(st.text("abc", min_size=1, max_size=9), min_size=columns, max_size=columns),
            st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=4),
        )
    )
)
def test_a_table_of_80_columns_breaks_no_word(table):
    headers, rows = table
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(table_of(headers, rows, width=80))
    lines = console.file.getvalue().splitlines()
    assert all(cell_len(line) <= 80 for line in lines)
    shown = set(" ".join(lines).split())
    assert {word for row in rows for cell in row for word in cell.split()} <= shown


def test_what_fits_is_one_line_a_row():
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(table_of(("who", "codes"), [("203.0.113.9", "RATE_LIMITED=3")] * 3, width=80))
    assert len(console.file.getvalue().splitlines()) == 4


# --- every command, on a Redis that holds the worst ------------------------------------------------------------------


def hostile_refusal(code: str, number: int = 0) -> Refusal:
    return Refusal(
        request_id=f"{number:032x}",
        trace_id=HOSTILE,
        at=1_800_000_000.0,
        code=code,
        status=400,
        protection=HOSTILE,
        user_id=HOSTILE,
        ip_address="2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
        endpoint=f"/graphql{HOSTILE}",
        method=HOSTILE,
        message=HOSTILE,
        detail=HOSTILE,
        path=HOSTILE,
        operation=HOSTILE,
        query_hash=HOSTILE,
        worker=HOSTILE,
        remedy=HOSTILE,
    )


def hostile_worker() -> Worker:
    return Worker(
        id=HOSTILE, host=f"api-7d9f8b6c5-x2x7k{HOSTILE}", pid=1_234_567, version=HOSTILE, started_at=0.0, seen_at=0.0,
        fingerprint=HOSTILE, modes={"timeout": HOSTILE, HOSTILE: "monitor"}, breaker_open=True,
        token_keys={HOSTILE: 1}, key_fingerprints={HOSTILE: HOSTILE}, pool={"active": 1},
    )  # fmt: skip


CODES = [code.name for code in signals.CODES]


async def fill(url: str) -> None:
    store = RedisStore(url, timeout_seconds=5)
    caller = CallerCounts(kind="user", name=json.dumps([None, None, HOSTILE]), shown=HOSTILE, requests=9, refusals=9,
                    by_code=dict.fromkeys(CODES, 12_345))  # fmt: skip
    beat = Heartbeat(worker=hostile_worker(), callers=[caller], seen=Seen())
    await store.fleet.beat("w", write_heartbeat(beat), 3_600)
    await store.fleet.remember([write_refusal(hostile_refusal(code, number)) for number, code in enumerate(CODES)])
    action = Action(at=1.0, actor=HOSTILE, event=HOSTILE, fields={HOSTILE: HOSTILE, "reason": [HOSTILE]})
    await store.fleet.record_action(write_action(action))
    user = Subject("user", json.dumps([HOSTILE, HOSTILE, HOSTILE]))
    await store.sanctions.impose(Sanction(user, PolicyName.OPERATOR, 3_600, HOSTILE, HOSTILE))
    await store.limits.set(user, Rate.of(5, 60), 0, 3_600, actor=HOSTILE)
    for kind in OverrideKind:
        key = "203.0.113.0/24" if kind in (OverrideKind.BLOCK, OverrideKind.ALLOW) else HOSTILE
        await store.overrides.put(Override(kind, key, 3_600, HOSTILE, HOSTILE, value=HOSTILE))
    await store.documents.add([TrustedDocument("d" * 64, "{a}", HOSTILE, HOSTILE)])
    await store.aclose()


@pytest.fixture(scope="module")
def redis():
    import asyncio

    with RedisServer() as server:
        asyncio.run(fill(server.url))
        yield server


LOOKS = [
    ["status"], ["top", "--once"], ["blocks"], ["why", "--last", "1000"], ["why", f"{1:032x}"], ["keys"],
    ["keys", "--has", "current"], ["actions"], ["pool"], ["limit", "list"], ["allow", "list"], ["mode"],
    ["set", "--list"], ["documents", "list"], ["config", "--fleet"], ["block", "10.0.0.0/8"], ["unlock", HOSTILE],
    ["why", HOSTILE],
    ["explain", hashlib.sha256(b"{a}").hexdigest()[:12]],
]  # fmt: skip


@pytest.mark.redis
@pytest.mark.parametrize("words", LOOKS, ids=lambda words: " ".join(words).encode("unicode_escape").decode()[:30])
def test_what_redis_holds_reaches_no_terminal(redis, words, monkeypatch):
    environment = {name_of("redis_url"): redis.url, name_of("environment"): "development"}
    ran = Operator(environment)(*words)
    assert ran.out + ran.err
    assert is_harmless(ran.out + ran.err), (ran.out + ran.err).encode("unicode_escape")
    assert len({line.count("\t") for line in ran.out.splitlines() if "\t" in line}) <= 1, "every row has its columns"
    in_json = Operator(environment)(*words, "--json")
    assert is_harmless(in_json.out + in_json.err)
    out, err = typed(monkeypatch, environment, *words)
    assert is_harmless(out + err), (out + err).encode("unicode_escape")
    for line in _STYLE.sub("", out).splitlines():
        assert len(line) <= 80 or max(map(len, line.split())) > 60, line


@pytest.mark.redis
def test_no_code_and_no_request_id_is_broken_at_80_columns(redis, monkeypatch):
    environment = {name_of("redis_url"): redis.url}
    listed = _STYLE.sub("", typed(monkeypatch, environment, "why", "--last", "1000")[0])
    for number, code in enumerate(CODES):
        assert re.search(rf"\b{code}\b", listed), code
        assert f"{number:032x}" in listed
    ranked = _STYLE.sub("", typed(monkeypatch, environment, "top", "--once")[0])
    for code in CODES:
        assert f"{code}=12345" in ranked
    assert re.search(r"2027-01-15T\d\d:00:00[+-]\d\d:\d\d", listed), "a time carries its zone"


def test_the_live_table_is_harmless_as_well():
    status = Status(at=1e9, store=HOSTILE, store_answers=True, workers=[hostile_worker()], switches=(), sanctions=0,
                    notes=[HOSTILE])  # fmt: skip
    offender = Offender(target=Target(user_id=HOSTILE), requests=1, refusals=1, by_code=dict.fromkeys(CODES, 12_345))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(top.drawn(top.Frame(status=status, offenders=[offender]), 80))
    shown = console.file.getvalue()
    assert is_harmless(shown)
    assert all(f"{code}=12345" in shown for code in CODES)


# --- what comes from elsewhere ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [words for words in LOOKS if "explain" not in words and "block" not in words[0]][:14])
def test_what_a_url_answers_reaches_no_terminal(words, monkeypatch):
    values = {
        "status": Status(at=1e9, store=HOSTILE, store_answers=True, workers=[hostile_worker()], switches=(),
                         sanctions=None, notes=[HOSTILE]),
    }  # fmt: skip
    items = {"status": values["status"], "why": hostile_refusal("BLOCKED")}
    answer = to_plain(items.get(words[0], {"items": [], "message": HOSTILE}))
    for status, body in ((200, answer), (400, {"status": 400, "detail": HOSTILE, "code": HOSTILE})):
        with peer(status, body, **MARKED, Content_Type="application/problem+json") as server:
            environment = {name_of("admin_token"): TOKEN}
            ran = Operator(environment, ("--url", server.url))(*words)
            assert is_harmless(ran.out + ran.err), (ran.out + ran.err).encode("unicode_escape")
            out, err = typed(monkeypatch, environment, *words, "--url", server.url)
            assert is_harmless(out + err)


def test_paths_that_another_app_names_reach_no_terminal(monkeypatch):
    with peer(200, {"data": {"__typename": "Query"}, "paths": {f"/{HOSTILE}": {}}}) as server:
        ran = Operator({})("paths", server.url.removesuffix("/admin"))
    assert is_harmless(ran.out + ran.err)


def test_what_a_log_holds_reaches_no_terminal(tmp_path, monkeypatch):
    fields = ("user_id", "ip_address", "policy", "endpoint", "failure_reason", "query_hash", "code", "table_name",
              "operation", "query_type", "reason", "part")  # fmt: skip
    lines = [
        orjson.dumps(
            {
                "timestamp": "2026-01-31T12:00:00.000Z",
                "event": event.name,
                "context": dict.fromkeys(fields, f"{HOSTILE}{number}"),
            }
        )
        for event in signals.EVENTS
        for number in range(3)
    ]
    lines += [orjson.dumps({"timestamp": "2026-01-31T12:00:00.000Z", "event": HOSTILE, "context": {}})]
    lines += [orjson.dumps({"timestamp": HOSTILE, "event": "http.request", "context": {}})]
    path = tmp_path / "hostile.log"
    path.write_bytes(b"\n".join(lines))
    ran = Operator({})("logs", str(path))
    assert ran.code == 0
    assert is_harmless(ran.out + ran.err), ran.out.encode("unicode_escape")
    out, _bar = typed(monkeypatch, {}, "logs", str(path))
    assert is_harmless(out)
    missing = Operator({})("logs", str(tmp_path / HOSTILE.replace("\0", "").replace("/", "")))
    assert missing.code == 2
    assert is_harmless(missing.err)
    assert missing.err.count("\n") == 1


def test_a_document_reaches_no_terminal(tmp_path):
    path = tmp_path / "query.graphql"
    for text in ('{ a(b: "' + HOSTILE + '") }', "{ " + HOSTILE + " }", f"query Q {{ a }} # {HOSTILE}"):
        path.write_text(text)
        ran = Operator({})("explain", str(path))
        assert is_harmless(ran.out + ran.err)
