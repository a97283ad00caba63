"""Every example of docs/command-line.md is typed, in order, and says what the page says (``...``: anything)."""

import re
import shlex

import pytest

from tools.docs import ROOT

pytestmark = pytest.mark.redis

PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def examples():
    """Command, expected output and expected exit code, one after the other."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ fraiseql-guard ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            code = int(lines.pop().strip("[]")) if lines and re.fullmatch(r"\[\d\]", lines[-1]) else 0
            yield command, "\n".join(lines), code


def told(ran):
    """What stands on the terminal, with any run of blanks as one."""
    return re.sub(r"[ \t]+", " ", ran.out + ran.err).strip()


def test_every_example_does_what_the_page_says(fleet, on_redis):
    on_redis("lift", "--all", "--origin", "any")
    seen = 0
    for command, expected, code in examples():
        ran = on_redis(*shlex.split(command))
        pattern = r".*".join(re.escape(part) for part in expected.split("..."))
        assert re.fullmatch(pattern, told(ran), re.DOTALL), f"{command}:\n{told(ran)}\n--- the page says:\n{expected}"
        assert ran.code == code, (command, ran)
        seen += 1
    assert seen > 25


def test_every_command_is_on_the_page():
    from fraiseql_guard.cli import app

    names = [each.name or each.callback.__name__.replace("_", "-") for each in app.registered_commands]
    names += [each.name for each in app.registered_groups]
    for name in names:
        assert re.search(rf"(fraiseql-guard |`){name}\b", PAGE), f"{name} is missing"
