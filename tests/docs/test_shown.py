"""Output that pages show without a command to make it has the form of the real one."""

from __future__ import annotations

import re

from rich.console import Console

from examples.drills.timeline import Timeline
from tests.support.asgi import LOOPBACK, graphql, request
from tests.support.pages import blocks

MOMENT = re.compile(r" +(?P<seconds>\d+\.\d) s  (?P<what>\w+) +(?P<detail>.*)")


def test_the_report_of_a_drill_has_the_form_that_is_shown(capsys) -> None:
    (shown,) = blocks("docs/runbooks/README.md", "text")
    heading, *moments, end = shown.splitlines()
    now = 0.0
    timeline = Timeline(Console(highlight=False), clock=lambda: now, began_at=0.0)
    for line in moments:
        told = MOMENT.fullmatch(line)
        assert told, line
        now = float(told["seconds"])
        timeline.note(told["what"], told["detail"])
    assert capsys.readouterr().out.splitlines() == moments
    assert re.fullmatch(r"[\w ]+ \(docs/runbooks/[\w-]+\.md\)", heading)
    assert re.fullmatch(r"  recovered [\d.]+ s after .*; ordinary users: (\d+) of \1 requests served \(100\.0%\)", end)


async def test_the_health_page_and_a_log_line_have_the_fields_that_are_shown(guarded) -> None:
    health, line = (json_of(block) for block in blocks("docs/signals.md", "json"))
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0)
    told = (await request(guard, "GET", "/health/detailed", client=LOOPBACK)).json
    assert list(told) == list(health)
    assert list(told["memory"]) == list(health["memory"])
    await graphql(guard, "{me{id}}")
    await graphql(guard, "{me{id}}")
    (written,) = guard.events("security.rate_limit")
    assert set(line) - set(written) <= {"trace_id"}
    assert line["context"].keys() <= written["context"].keys()
    assert (line["level"], line["message"]) == (written["level"], written["message"])


def json_of(block: str) -> dict:
    import json

    found: dict = json.loads(block)
    return found
