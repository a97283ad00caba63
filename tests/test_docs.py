"""What the documentation says is what the code does."""

import re
import tomllib
from pathlib import Path

import pytest

from fraiseql_guard import Guard
from fraiseql_guard.core import signals
from fraiseql_guard.core.fraiseql_variables import DATABASE_FILE_VARIABLE, FRAISEQL_VARIABLES
from fraiseql_guard.core.settings import VARIABLES
from tools.docs import FILES, ROOT, rendered
from tools.promql import PENDING

HERE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
RAW = HERE.replace("github.com", "raw.githubusercontent.com")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


@pytest.mark.parametrize("name", FILES)
def test_tables_are_what_the_code_says(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert rendered(text) == text, "run: python -m tools.docs"


def test_an_option_is_its_variable_in_lower_case() -> None:
    """As docs/settings.md says, which lists the variables alone."""
    for row in VARIABLES:
        assert row.option == row.name.removeprefix("FRAISEQL_GUARD_").removeprefix("FRAISEQL_").lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_metric_and_event_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    variables = {row.name for row in VARIABLES} | {f"{row.name}_FILE" for row in VARIABLES if row.form.secret}
    variables |= {*FRAISEQL_VARIABLES, DATABASE_FILE_VARIABLE}
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
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if (path := linked(page, target)) is not None:
            assert path.exists(), f"{page.name} links {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_heading_that_is_linked_in_the_repository_exists(page: Path) -> None:
    """Between pages of the site mkdocs sees to it."""
    for target, anchor in re.findall(r"\]\((https://[^)#\s]+)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if (path := linked(page, target)) is not None:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{page.name} links {target}#{anchor}"


def linked(page: Path, target: str) -> Path | None:
    """The file that a link leads to; None for one that leads elsewhere. Links into the repository are files of it."""
    if not target.startswith(("http://", "https://", "mailto:")):
        return page.parent / target
    inside = re.fullmatch(rf"(?:{HERE}/(?:blob|tree)|{RAW})/main/(.+)", target)
    return ROOT / inside[1] if inside else None


def slug(heading: str) -> str:
    """How the forge names a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_one_screen_and_leads_to_the_repository_wherever_it_is_shown() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 125
    assert [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("https://")] == []
    assert all(target.startswith(RAW) for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))
    assert not re.search(r"<(?!!--)[a-z]", text), "what an index does not show"
