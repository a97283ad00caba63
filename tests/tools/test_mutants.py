"""What the mutation tests rest on: modules and tests that there are, and explanations of lines that still stand."""

from __future__ import annotations

from collections import Counter

from tools.mutants import MODULES, PACKAGE, ROOT, TESTS, Explanation, chosen, explanations, outdated, table


def test_modules_and_tests_are_there() -> None:
    assert [module for module in MODULES if not (ROOT / PACKAGE / module).is_file()] == []
    assert [path for path in TESTS if not (ROOT / path).exists()] == []


def test_every_explanation_is_of_a_line_that_there_is_and_says_why() -> None:
    written = explanations()
    assert outdated(written) == []
    assert {each.module for each in written} <= set(MODULES)
    assert [each.was for each in written if len(each.why.split()) < 4] == []
    assert len(set(written)) == len(written)


def test_an_explanation_of_a_line_that_is_gone_is_told() -> None:
    gone = Explanation("checks/blocks.py", "until = never()", None, "It was once there.")
    assert outdated([gone]) == ["checks/blocks.py: until = never()"]


def test_an_explanation_covers_its_own_mutants_alone() -> None:
    one = Explanation("checks/blocks.py", "a < b", "a <= b", "Equal is as good.")
    assert one.covers("checks/blocks.py", "a < b", "a <= b")
    assert not one.covers("checks/blocks.py", "a < b", "a > b")
    assert not one.covers("checks/bills.py", "a < b", "a <= b")
    assert Explanation("checks/blocks.py", "a < b", None, "Of no matter.").covers("checks/blocks.py", "a < b", "a > b")


def test_a_seed_chooses_the_same_mutants_in_any_order_and_another_one_others() -> None:
    names = [f"checks.blocks.x_decide__mutmut_{number}" for number in range(100)]
    assert chosen(names, 10, 1) == chosen(names[::-1], 10, 1)
    assert set(chosen(names, 10, 1)) != set(chosen(names, 10, 2))
    assert chosen(names, 0, 1) == chosen(names, 200, 1) == sorted(names)


def test_the_table_counts_what_no_test_noticed_as_survived() -> None:
    results = {"checks/blocks.py": {"a": "killed", "b": "timeout", "c": "survived", "d": "no tests", "e": "survived"}}
    _, row, together = table(results, {"checks/blocks.py": 40}, Counter({"checks/blocks.py": 1}))
    assert row.split() == ["checks/blocks.py", "40", "5", "2", "3", "2"]
    assert together.split() == ["together", "40", "5", "2", "3", "2"]
