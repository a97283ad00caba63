"""Caches are counted together and cleared together; one that breaks is complained about once."""

import pytest

from fraiseql_guard.telemetry.process.caches import Caches
from fraiseql_guard.telemetry.process.fact_sources import FactSources


def test_sizes_add_up_and_a_name_given_again_replaces_the_former() -> None:
    caches = Caches()
    caches.observe("a", lambda: 100)
    caches.observe("b", lambda: 11)
    caches.observe("a", lambda: 20)
    assert caches.size_bytes(pytest.fail) == 31


def test_a_cache_that_cannot_tell_counts_nothing_and_is_complained_about_once_until_it_tells_again() -> None:
    answers: list = [ZeroDivisionError("secret"), "a lot", None, 7, KeyError(), -5]

    def size():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    problems: list[str] = []
    caches = Caches()
    caches.observe("mine", size)
    caches.observe("good", lambda: 1)
    assert [caches.size_bytes(problems.append) for _ in range(6)] == [1, 1, 1, 8, 1, 1]
    assert [problem.partition("(")[2] for problem in problems] == [
        "ZeroDivisionError): it counts as 0",
        "KeyError): it counts as 0",
    ]
    assert "'mine'" in problems[0]


def test_all_that_can_be_cleared_is_cleared_whatever_one_of_them_does() -> None:
    cleared: list[str] = []

    def broken() -> None:
        raise RuntimeError

    problems: list[str] = []
    caches = Caches()
    caches.observe("kept", lambda: 1)
    caches.observe("broken", lambda: 1, broken)
    caches.observe("mine", lambda: 1, lambda: cleared.append("mine"))
    assert caches.clear_all(problems.append) == ["mine"]
    assert cleared == ["mine"]
    assert problems == ["the cache 'broken' could not be cleared (RuntimeError)"]


def test_what_is_no_plain_function_is_refused_at_once() -> None:
    async def later() -> None: ...

    with pytest.raises(TypeError, match="size of the cache 'a' is int, and must be a plain function"):
        Caches().observe("a", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="clear of the cache 'a' is a coroutine function"):
        Caches().observe("a", lambda: 5, later)


def test_a_provider_that_breaks_is_as_good_as_none_and_complained_about_once() -> None:
    problems: list[str] = []
    providers = FactSources()
    assert providers.ask("pool", problems.append) is None
    providers.offer("pool", lambda: {"active": 1, "total": 10})
    assert providers.ask("pool", problems.append) == {"active": 1, "total": 10}
    providers.offer("pool", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert [providers.ask("pool", problems.append) for _ in range(3)] == [None] * 3
    assert problems == ["what is offered as 'pool' cannot be read (ZeroDivisionError)"]
