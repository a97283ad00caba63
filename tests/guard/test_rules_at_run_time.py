"""Rules change while the workers run: by their file, and by what operators set for all workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import ADMIN_RULES_FILE
from fraiseql_guard.operations.operator.interface import OperatorError
from fraiseql_guard.stores.overrides import Override, OverrideKind
from tests.conftest import Guarded
from tests.support.asgi import graphql
from tests.support.redis_server import RedisServer
from tests.support.socket_memory import SocketApp, T, opened
from tests.support.waiting import until

FLAT = "rules: [{name: flat, match: {root_fields: [me]}, max_depth: 1}]"
FREE = "rules: [{name: deep, match: {path: /graphql}, max_depth: 2}]"
RULES = name_of("rules")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def mount(guarded: Any) -> Any:
    made: list[Guarded] = []

    def of(app: Any = None, **options: Any) -> Guarded:
        made.append(guarded(app, **options))
        return made[-1]

    yield of
    for each in made:
        await each.guard.aclose()


async def code(guard: Guarded) -> str | None:
    return (await graphql(guard, "{me{id}}")).code


def names(guard: Guarded) -> list[str]:
    return [rule.name for rule in guard.guard.settings.rules.entries]


def write(path: Path, text: str) -> None:
    """As an operator does: the file is never half written."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


async def test_a_changed_file_holds_without_a_restart(mount, tmp_path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(FREE)
    guard = mount(rules_file=path)
    assert (await code(guard), names(guard)) == (None, ["deep"])
    write(path, FLAT)
    await until(lambda: names(guard) == ["flat"])
    assert await code(guard) == "QUERY_TOO_DEEP"
    (line,) = guard.lines(ADMIN_RULES_FILE.name)
    said = line["context"]
    assert (said["actor"], said["added"], said["removed"]) == ("rules file", ["flat"], ["deep"])


@pytest.mark.parametrize("bad", ["rules: {", "rules: [{name: x, match: {operations: [A]}, cost: 0}]", "\x00"])
async def test_a_broken_file_leaves_the_last_good_rules_and_warns_once(mount, tmp_path, bad) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(FLAT)
    guard = mount(rules_file=path)
    assert await code(guard) == "QUERY_TOO_DEEP"

    def warnings() -> list[str]:
        said = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
        return [each for each in said if "last good rules" in each]

    write(path, bad)
    await until(lambda: len(warnings()) > 0)
    looks = guard.guard.runtime.control.looks
    await until(lambda: guard.guard.runtime.control.looks > looks + 2)
    assert (len(warnings()), await code(guard)) == (1, "QUERY_TOO_DEEP")
    write(path, FREE)
    await until(lambda: names(guard) == ["deep"])
    assert await code(guard) is None


async def test_what_operators_set_holds_on_all_workers_in_place_of_the_file(mount, redis, tmp_path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(FREE)
    options = {"redis_url": redis.url, "store_timeout_ms": 5000, "rules_file": path, "namespace": "set"}
    workers = [mount(**options) for _ in range(2)]
    assert [await code(guard) for guard in workers] == [None, None]
    operator = workers[0].guard.runtime.operator
    done = await operator.switch("setting", RULES, FLAT, duration_seconds=60, actor="ada")
    assert done.changed
    for guard in workers:
        await guard.heard()
    assert [await code(guard) for guard in workers] == ["QUERY_TOO_DEEP"] * 2
    # The file goes on being read, and holds again at the end.
    write(path, FREE.replace("deep", "deeper"))
    await operator.unswitch("setting", RULES, actor="ada")
    for guard in workers:
        await guard.heard()
        await until(lambda guard=guard: names(guard) == ["deeper"])
    assert [await code(guard) for guard in workers] == [None, None]


async def test_rules_that_loosen_by_a_name_are_ignored_when_they_are_set(mount) -> None:
    guard = mount()
    assert await code(guard) is None
    loose = "[{name: x, match: {operations: [A]}, cost: 0}]"
    await guard.store.overrides.put(Override(OverrideKind.SETTING, RULES, value=loose))
    await guard.store.overrides.put(Override(OverrideKind.SETTING, name_of("max_query_depth"), value="1"))
    await guard.heard()
    assert (names(guard), await code(guard)) == ([], "QUERY_TOO_DEEP")  # the other one holds
    assert any("every client chooses" in line["context"]["detail"] for line in guard.lines("guard.configuration"))


async def test_a_lowered_limit_is_not_refused_for_a_rule_that_was_none_of_loosening(mount) -> None:
    """An operator lowers a limit in an incident: rules by the names of operations follow."""
    guard = mount(rules=[{"name": "a", "match": {"operations": ["A"]}, "max_depth": 5}], max_query_depth=8)
    query = "query A{me{a{b{c}}}}"
    assert (await graphql(guard, query)).status == 200
    await guard.store.overrides.put(Override(OverrideKind.SETTING, name_of("max_query_depth"), value="2"))
    await guard.heard()
    assert (await graphql(guard, query)).code == "QUERY_TOO_DEEP"


async def test_bad_rules_never_leave_the_operator(mount) -> None:
    guard = mount()
    with pytest.raises(OperatorError, match="did you mean max_depth"):
        await guard.guard.runtime.operator.switch(
            "setting", RULES, "[{name: x, match: {path: /x}, max_deph: 1}]", duration_seconds=60
        )


async def test_an_open_socket_meets_new_rules(mount) -> None:
    guard = mount(SocketApp())
    async with opened(guard, T) as socket:
        await socket.init()
        for number, expected in enumerate(("next", "error")):
            await socket.start(str(number), "{me{id}}")
            while (message := await socket.receive())["type"] not in ("next", "error"):
                pass
            assert message["type"] == expected
            await guard.store.overrides.put(Override(OverrideKind.SETTING, RULES, value=FLAT))
            await guard.heard()
