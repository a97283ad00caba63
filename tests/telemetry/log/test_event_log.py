"""What an on-call engineer reads in the log."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import subprocess

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.telemetry import EventLog, Metrics
from tests.telemetry.metrics.scrape import Scrape

NOW = 1795388400.1234  # 2026-11-22T23:00:00.123Z
CALLER = {"user_id": "alice", "ip_address": "192.0.2.1"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Log:
    """An event log with a stream to read from."""

    def __init__(self, settings=None, **options) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.metrics = Metrics()
        self.events = EventLog(
            settings or Settings.load({}), self.metrics, clock=self.clock, stream=self.stream, **options
        )
        self.emit = self.events.emit

    def text(self) -> str:
        assert self.events.flush(5)
        return self.stream.getvalue()

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.text().splitlines()]

    def counted(self, metric, *labels):
        return Scrape(self.metrics.render()).value(metric, *labels)


@pytest.fixture
def log():
    log = Log()
    yield log
    log.events.close()


@pytest.mark.parametrize("event", s.EVENTS, ids=lambda event: event.name)
def test_every_event_has_the_contract_s_shape(log, event):
    log.emit(event, {"user_id": "alice", "nobody": "asked"}, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    (line,) = log.lines()
    assert list(line) == ["timestamp", "level", "event", "message", "context", "trace_id"]
    assert line["timestamp"] == "2026-11-22T23:00:00.123Z"
    assert (line["level"], line["event"], line["message"]) == (event.level, event.name, event.message)
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert list(line["context"]) == list(event.fields)
    assert all(value is None for field, value in line["context"].items() if field != "user_id")


def test_extras_follow_the_fields(log):
    log.emit(s.AUTH_SUCCESS_EVENT, CALLER, request_id="r1", enforced=False)
    (line,) = log.lines()
    assert list(line["context"]) == [*s.AUTH_SUCCESS_EVENT.fields, "request_id", "enforced"]
    assert line["context"]["enforced"] is False


def test_timestamps_have_milliseconds_in_utc(log):
    for now in (0.0, 0.9999, 1.0, 1795388401.0):
        log.clock.now = now
        log.emit(s.CONFIGURATION, {"detail": "x"})
    assert [line["timestamp"] for line in log.lines()] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "2026-11-22T23:00:01.000Z",
    ]


def test_what_a_stranger_sends_is_short_and_harmless_on_a_terminal(log):
    agent = "evil\x1b[2J\r\nCRITICAL fake line\x9b\u202e\ud800" + "x" * 5000
    log.emit(s.RATE_LIMIT, {**CALLER, "user_agent": agent, "endpoint": "é漢字"})
    (line,) = log.lines()
    shown = line["context"]["user_agent"]
    assert shown.startswith(r"evil\u001b[2J\u000d\u000aCRITICAL fake line\u009b\u202e\ud800xxx")
    assert len(shown) == 256
    assert line["context"]["endpoint"] == "é漢字"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(s.RATE_LIMIT.fields), anything), anything, st.text())
def test_whatever_is_logged_becomes_one_readable_line(context, extra, trace):
    log = Log()
    log.emit(s.RATE_LIMIT, context, trace_id=trace, extra=extra)
    assert re.fullmatch(r"\{.*\}\n", log.text())
    assert list(log.lines()[0]["context"]) == [*s.RATE_LIMIT.fields, "extra"]


def test_a_value_that_fails_costs_its_line_and_is_counted(log):
    class Hostile:
        def __str__(self):
            raise RuntimeError("no")

    log.emit(s.RATE_LIMIT, {"user_id": Hostile()})
    assert log.text() == ""
    assert log.counted(s.LOG_FAILURES) == 1


class TestFlood:
    def test_a_caller_gets_five_lines_a_second_and_the_next_line_owns_up(self, log):
        for _ in range(12):
            log.emit(s.RATE_LIMIT, CALLER, subject="alice")
        log.emit(s.RATE_LIMIT, CALLER, subject="bob")
        log.emit(s.REQUEST_REFUSED, CALLER, subject="alice")
        assert len(log.lines()) == 7
        assert all("suppressed" not in line["context"] for line in log.lines())
        assert log.counted(s.LOG_LINES_SUPPRESSED, s.RATE_LIMIT.name) == 7
        log.clock.now += 1
        log.emit(s.RATE_LIMIT, CALLER, subject="alice")
        log.emit(s.RATE_LIMIT, CALLER, subject="alice")
        assert [line["context"].get("suppressed") for line in log.lines()[7:]] == [7, None]

    def test_an_event_gets_two_hundred_lines_a_second_whatever_its_subject(self, log):
        for n in range(5000):
            log.emit(s.HTTP_REQUEST, CALLER, subject=f"10.0.{n // 256}.{n % 256}")
        assert len(log.lines()) == 200
        log.clock.now += 1
        for n in range(150):
            log.emit(s.HTTP_REQUEST, CALLER, subject=f"10.0.{(n + 200) // 256}.{(n + 200) % 256}")
        owned_up = sum(line["context"].get("suppressed", 0) for line in log.lines())
        assert owned_up == 150 + 3800, "one each of the debtors that are remembered, and all the others' at once"

    def test_sanctions_and_what_the_caller_says_always_of_are_never_left_out(self, log):
        for _ in range(300):
            log.emit(s.RATE_LIMIT_ABUSE, CALLER, subject="alice")
            log.emit(s.AUTH_SUCCESS_EVENT, CALLER, subject="alice", always=True)
        assert len(log.lines()) == 600

    def test_a_clock_that_is_set_back_does_not_silence_the_log(self, log):
        for _ in range(6):
            log.emit(s.RATE_LIMIT, CALLER, subject="alice")
        log.clock.now -= 86400
        log.emit(s.RATE_LIMIT, CALLER, subject="alice")
        assert log.lines()[-1]["context"]["suppressed"] == 1


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
class TestRunbookCommands:
    @pytest.fixture
    def app_log(self, tmp_path):
        path = tmp_path / "app.log"
        events = EventLog(Settings.load({}, log_file=path), clock=Clock())
        context = {**CALLER, "failure_reason": "invalid_signature", "window_seconds": 60}
        for event in s.EVENTS:
            events.emit(event, context)
        events.close()
        return path

    def jq(self, app_log, *arguments):
        return subprocess.run(
            ["jq", *arguments, str(app_log)], capture_output=True, check=True, text=True, timeout=10
        ).stdout.splitlines()

    def test_select_by_level(self, app_log):
        found = self.jq(app_log, "-r", 'select(.level == "ERROR") | .event')
        assert found == [event.name for event in s.EVENTS if event.level == "ERROR"]

    def test_select_by_event_and_read_the_context(self, app_log):
        query = f'select(.event == "{s.AUTH_FAILURE.name}") | .context.failure_reason + " " + .context.ip_address'
        assert self.jq(app_log, "-r", query) == ["invalid_signature 192.0.2.1"]

    def test_group_by_user(self, app_log):
        query = 'map(select(.event | startswith("security."))) | group_by(.context.user_id)[] | length'
        assert self.jq(app_log, "-s", query) == [str(sum(e.name.startswith("security.") for e in s.EVENTS))]

    def test_select_by_time(self, app_log):
        assert len(self.jq(app_log, "-c", 'select(.timestamp > "2026-11-22T22:59:59Z")')) == len(s.EVENTS)


class TestAppLogger:
    def test_a_stdlib_logger_gets_the_event_its_level_and_the_context(self, caplog):
        logger = logging.getLogger("an.app")
        log = EventLog(Settings.load({}), logger=logger)
        with caplog.at_level(logging.INFO, "an.app"):
            log.emit(s.DOS_DETECTED, {**CALLER, "action": "automatic_block"}, trace_id="t1")
        (record,) = caplog.records
        assert (record.name, record.levelname, record.getMessage()) == ("an.app", "CRITICAL", s.DOS_DETECTED.name)
        assert record.event_message == s.DOS_DETECTED.message
        assert record.context["action"] == "automatic_block"
        assert record.trace_id == "t1"

    def test_a_structlog_logger_gets_them_through_the_app_s_own_chain(self):
        lines = structlog.testing.CapturingLogger()
        logger = structlog.wrap_logger(
            lines, processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()], app="shop"
        )
        EventLog(Settings.load({}), logger=logger).emit(s.RATE_LIMIT, {**CALLER, "limit": 100}, trace_id="t1")
        (call,) = lines.calls
        line = json.loads(call.args[0])
        assert (call.method_name, line["event"], line["app"]) == ("warning", s.RATE_LIMIT.name, "shop")
        assert (line["context"]["limit"], line["trace_id"]) == (100, "t1")

    def test_a_logger_that_fails_costs_no_request(self):
        class Broken:
            def warning(self, *_, **__):
                raise OSError("disk full")

        metrics = Metrics()
        EventLog(Settings.load({}), metrics, logger=Broken()).emit(s.RATE_LIMIT, CALLER)
        assert Scrape(metrics.render()).value(s.LOG_FAILURES) == 1


def test_the_app_s_own_logging_is_left_alone(log, caplog):
    before = (structlog.is_configured(), structlog.get_config(), logging.root.level, list(logging.root.handlers))
    log.emit(s.RATE_LIMIT, CALLER)
    log.text()
    after = (structlog.is_configured(), structlog.get_config(), logging.root.level, list(logging.root.handlers))
    assert after == before
    assert caplog.records == []
    with structlog.testing.capture_logs() as captured:  # reconfigures structlog for all who use it globally
        log.emit(s.RATE_LIMIT, CALLER)
        log.text()
    assert captured == []
    assert len(log.lines()) == 2


def test_a_log_file_that_cannot_be_written_stops_the_start_and_names_the_variable(tmp_path):
    with pytest.raises(SettingsError, match=r"LOG_FILE=.*No such file or directory"):
        EventLog(Settings.load({}, log_file=tmp_path / "none" / "app.log"))
