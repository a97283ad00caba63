"""The lines about answered requests: when the request ended, and which of them are written."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from datetime import datetime
from typing import Any

import pytest
import structlog

from fraiseql_guard import Guard, SettingsError
from fraiseql_guard.core import signals as s
from fraiseql_guard.telemetry.recorder.access_lines import SAMPLE_RATE
from tests.support.asgi import EchoApp, graphql, request


def seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


class GoesOn(EchoApp):
    """Works on after its answer, as background tasks do. ``answered`` are the moments before and after each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[tuple[float, float]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        before = time.time()
        await super().__call__(scope, receive, send)
        self.answered.append((before, time.time()))
        await asyncio.sleep(0.1)


async def test_a_line_has_the_time_at_which_the_answer_was_complete(guarded) -> None:
    """Not that at which it is written, which waits for company, nor that at which the app's background task ends."""
    app = GoesOn()
    guard = guarded(app)
    await request(guard, "GET", "/page")
    await graphql(guard, "{ok}")
    await asyncio.sleep(0.1)
    times = [seconds(line["timestamp"]) for line in guard.lines("http.request")]
    assert len(times) == 2
    for at, (before, after) in zip(times, app.answered, strict=True):
        assert before - 0.001 <= at <= after  # written down to the millisecond


async def test_a_logger_of_the_app_s_own_is_told_the_time() -> None:
    handler = Records()
    logger = logging.getLogger("tests.access")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    text = io.StringIO()
    own = structlog.wrap_logger(structlog.PrintLogger(text), processors=[structlog.processors.JSONRenderer()])
    for each in (logger, own):
        guard = Guard(EchoApp(), logger=each)
        await request(guard, "GET", "/page")
        guard.recorder.flush()
        guard.recorder.log.close()
    (record,) = [each for each in handler.records if each.getMessage() == "http.request"]
    assert abs(seconds(record.timestamp) - record.created) < 5
    (line,) = [each for each in text.getvalue().splitlines() if '"http.request"' in each]
    assert '"timestamp": "20' in line


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


# --- which are written ------------------------------------------------------------------------------------------------


async def ask(guard: Any, times: int, **more: Any) -> None:
    for number in range(times):
        await request(guard, "GET", "/page", client=(f"198.51.{number // 250}.{number % 250}", 1), **more)


async def test_a_sample_has_one_in_ten_of_the_ordinary_ones_and_says_so(guarded) -> None:
    guard = guarded(access_log="sampled")
    await ask(guard, 5 * SAMPLE_RATE)
    lines = guard.lines("http.request")
    assert [line["context"]["sample_rate"] for line in lines] == [SAMPLE_RATE] * 5
    assert guard.metric("fraiseql_http_requests_total") == 5 * SAMPLE_RATE
    assert guard.metric("fraiseql_guard_log_lines_suppressed_total") == 0


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_sample_has_all_that_failed(guarded, status) -> None:
    guard = guarded(EchoApp(status=status), access_log="sampled")
    await ask(guard, 25)
    lines = guard.lines("http.request")
    assert len(lines) == 25
    assert all("sample_rate" not in line["context"] for line in lines)


async def test_a_sample_has_all_that_took_long(guarded) -> None:
    guard = guarded(EchoApp(seconds=1.05), access_log="sampled")
    await asyncio.gather(*(request(guard, "GET", "/page", client=(f"198.51.100.{each}", 1)) for each in range(8)))
    assert len(guard.lines("http.request")) == 8


async def test_without_access_lines_all_others_are_written(guarded) -> None:
    guard = guarded(access_log="off", max_query_depth=1)
    await ask(guard, 3)
    await graphql(guard, "{a{b{c}}}")
    assert guard.lines("http.request") == []
    assert len(guard.lines("graphql.expensive_query")) == 1
    assert guard.metric("fraiseql_guard_log_lines_suppressed_total") == 0


LEVELS = {
    "debug": {"guard.started", "http.request", "security.rate_limit", "guard.fault", "admin.gc"},
    "info": {"guard.started", "http.request", "security.rate_limit", "guard.fault", "admin.gc"},
    "warning": {"security.rate_limit", "guard.fault", "admin.gc"},
    "error": {"guard.fault", "admin.gc"},
    "critical": {"admin.gc"},
}


@pytest.mark.parametrize(("level", "written"), LEVELS.items())
async def test_the_level_is_the_lowest_that_is_written_and_operators_deeds_always_are(guarded, level, written) -> None:
    guard = guarded(log_level=level, rate_limit_default="1/minute", rate_limit_burst=0)
    await request(guard, "GET", "/page")
    assert (await request(guard, "GET", "/page")).status == 429
    guard.guard.recorder.fault("a part", ZeroDivisionError("a bug"))
    guard.guard.recorder.process.acted(s.ADMIN_GC, {"actor": "oncall", "workers": 1})
    assert {line["event"] for line in guard.lines()} - {"guard.configuration"} == written
    assert guard.metric("fraiseql_guard_log_lines_suppressed_total") == 0


@pytest.mark.parametrize(("option", "value"), [("log_level", "loud"), ("access_log", "some")])
def test_other_words_stop_the_start(option, value) -> None:
    with pytest.raises(SettingsError, match=f"{option}='{value}'"):
        Guard(EchoApp(), **{option: value})
