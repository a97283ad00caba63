"""What the documentation says is what the code does."""

import re
from pathlib import Path

import pytest

from fraiseql_guard import Guard
from fraiseql_guard.core import signals
from fraiseql_guard.core.fraiseql_variables import FRAISEQL_VARIABLES
from fraiseql_guard.core.settings import VARIABLES
from tests.support.asgi import EchoApp
from tools.docs import FILES, ROOT, rendered
from tools.promql import PENDING

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


@pytest.mark.parametrize("name", FILES)
def test_tables_are_what_the_code_says(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert rendered(text) == text, "run: python -m tools.docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_metric_and_event_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    variables = {row.name for row in VARIABLES} | {f"{row.name}_FILE" for row in VARIABLES if row.form.secret}
    variables |= FRAISEQL_VARIABLES
    for name in re.findall(r"\bFRAISEQL_[A-Z_]*[A-Z]\b", text):
        assert name in variables, f"{page.name} names {name}"
    metrics = {metric.name for metric in (*signals.METRICS, *PENDING)}
    metrics |= {name.lower() for name in FRAISEQL_VARIABLES}  # files that FraiseQL reads in a folder of secrets
    for name in re.findall(r"\bfraiseql_(?!guard\b)[a-z_]+", text):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in metrics or name in metrics, f"{page.name} names {name}"
    events = {event.name for event in signals.EVENTS}
    for name in re.findall(r"`((?:security|graphql|database|system|guard|admin)\.[a-z_]+)`", text):
        if name.startswith("guard.") and hasattr(Guard, name.removeprefix("guard.")):
            continue  # of the middleware in the app's code
        assert name in events, f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_linked_exists(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_example_of_a_test_in_the_readme_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"## In your own tests\n\n```python\n(.*?)```", text, re.DOTALL)
    names = {"app": EchoApp(), "secret": "a-secret-of-thirty-two-bytes-at-least"}
    exec(example, names)
    assert names["token"].count(".") == 2
