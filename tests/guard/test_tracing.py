"""OpenTelemetry beside a guard: one trace for the request, wherever the guard is mounted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.util._once import Once

from fraiseql_guard import Guard
from tests.support.asgi import LOOPBACK, EchoApp, graphql, request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


class Traced:
    """A FastAPI app that is instrumented, and the spans that were kept of it."""

    def __init__(self, sampler: Sampler, *, known: bool) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        if known:
            trace.set_tracer_provider(self.provider)
        self.app = FastAPI()
        self.app.post("/graphql")(self._answer)
        self.app.get("/page")(self._answer)
        self.headers: list[Any] = []

    async def _answer(self, request: Request) -> JSONResponse:
        self.headers.append(request.headers)
        if request.method == "POST" and b"slow" in await request.body():
            await asyncio.sleep(60)
        return JSONResponse({"data": {"ok": True}})

    def instrumented(self) -> Any:
        """The app, for a guard around it."""
        FastAPIInstrumentor.instrument_app(self.app, tracer_provider=self.provider)
        return self.app

    def inside(self, **options: Any) -> Any:
        """The app with a guard among its middlewares, inside of the instrumentation."""
        self.app.add_middleware(Guard, **options)
        FastAPIInstrumentor.instrument_app(self.app, tracer_provider=self.provider)
        return self.app

    def logged(self, place: int) -> str:
        """The trace id of a request, as log lines have it."""
        return f"{self.server_spans()[place].context.trace_id:032x}"

    def server_spans(self) -> list[Any]:
        return [span for span in self.exporter.get_finished_spans() if span.kind is trace.SpanKind.SERVER]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Instrumented apps. What is set for the whole process (the provider) is taken back."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    made: list[Traced] = []

    def make(sampler: Sampler = ALWAYS_ON, *, known: bool = True) -> Traced:
        made.append(Traced(sampler, known=known))
        return made[-1]

    yield make
    for each in made:
        FastAPIInstrumentor.uninstrument_app(each.app)
        each.provider.shutdown()


def lines_of(path: Any, guard: Any) -> list[dict[str, Any]]:
    guard.recorder.flush()
    guard.recorder.log.flush()
    return [json.loads(line) for line in path.read_text().splitlines()]


def guard_in(app: Any) -> Guard:
    """The guard among the middlewares of an app that was built."""
    found = app.middleware_stack
    while not isinstance(found, Guard):
        found = found.app
    return found


@pytest.mark.parametrize("known", [True, False], ids=["global provider", "provider of the instrumentation alone"])
@pytest.mark.parametrize("headers", [{}, PARENT, {"traceparent": "nonsense", "tracestate": "a=b"}])
@pytest.mark.parametrize("mounting", ["inside", "outside"])
async def test_the_logged_trace_is_that_of_the_request_s_span(traced, tmp_path, mounting, headers, known) -> None:
    each, path = traced(known=known), tmp_path / "guard.log"
    app = each.inside(log_file=path) if mounting == "inside" else Guard(each.instrumented(), log_file=path)
    for _ in range(2):  # known heads too
        assert (await request(app, "GET", "/page", headers=headers)).status == 200
        assert (await graphql(app, "{ok}", headers=headers)).status == 200
    guard = guard_in(app) if mounting == "inside" else app
    logged = [line["trace_id"] for line in lines_of(path, guard) if line["event"] == "http.request"]
    assert logged == [f"{span.context.trace_id:032x}" for span in each.server_spans()]
    assert len(set(logged)) == (1 if headers == PARENT else 4)


NAMES_TASKS_CONTEXT = sys.version_info >= (3, 12)
"""Python tells of a task what is active in it, which a timer outside of it has to know."""


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "mounting",
    [
        "inside",
        pytest.param("outside", marks=pytest.mark.skipif(not NAMES_TASKS_CONTEXT, reason="from Python 3.12 on")),
    ],
)
async def test_a_request_that_runs_out_of_time_is_logged_with_its_own_span(traced, tmp_path, mounting, known) -> None:
    each, path = traced(known=known), tmp_path / "guard.log"
    options = {"log_file": path, "query_timeout": 0.2}
    app = each.inside(**options) if mounting == "inside" else Guard(each.instrumented(), **options)
    replies = await asyncio.gather(*(graphql(app, "{slow}") for _ in range(3)))  # their timers ring together
    assert [reply.status for reply in replies] == [504, 504, 504]
    guard = guard_in(app) if mounting == "inside" else app
    logged = [line["trace_id"] for line in lines_of(path, guard) if line["event"] == "database.query_timeout"]
    spans = each.server_spans()
    assert sorted(logged) == sorted(f"{span.context.trace_id:032x}" for span in spans)
    assert len(set(logged)) == 3
    marked = [span for span in each.exporter.get_finished_spans() if "fraiseql_guard.code" in (span.attributes or {})]
    assert {span.context.trace_id for span in marked} == {span.context.trace_id for span in spans}


async def test_a_refusal_is_on_the_active_span(traced, tmp_path) -> None:
    each = traced()
    app = each.inside(log_file=tmp_path / "guard.log", rate_limit_default="20/minute", rate_limit_burst=0)
    replies = [await graphql(app, "{ok}") for _ in range(40)]
    assert {reply.status for reply in replies} == {200, 429}
    spans = each.server_spans()
    for reply, span in zip(replies, spans, strict=True):
        told = (span.attributes.get("fraiseql_guard.code"), span.attributes.get("fraiseql_guard.protection"))
        assert told == (("RATE_LIMITED", "rate_limit") if reply.status == 429 else (None, None))


async def test_what_monitor_mode_would_refuse_is_marked_as_not_enforced(traced, tmp_path) -> None:
    each = traced()
    app = each.inside(log_file=tmp_path / "guard.log", mode="monitor", max_query_depth=1)
    assert (await graphql(app, "{a{b{c}}}")).status == 200
    (span,) = each.server_spans()
    assert span.attributes["fraiseql_guard.code"] == "QUERY_TOO_DEEP"
    assert span.attributes["fraiseql_guard.enforced"] is False


@pytest.mark.parametrize(("sampler", "kept"), [(ALWAYS_ON, 1), (ALWAYS_OFF, 0)])
async def test_a_trace_that_is_handed_down_is_sampled_as_the_app_has_it(traced, tmp_path, sampler, kept) -> None:
    each = traced(ParentBased(sampler))
    guard = Guard(each.instrumented(), log_file=tmp_path / "guard.log")
    reply = await request(guard, "GET", "/page")
    assert reply.status == 200
    assert len(each.server_spans()) == kept
    (headers,) = each.headers
    (line,) = [one for one in lines_of(tmp_path / "guard.log", guard) if one["event"] == "http.request"]
    assert headers["traceparent"].split("-")[1:4:2] == [line["trace_id"], f"{kept:02}"]


async def test_a_trace_that_is_kept_is_an_exemplar_of_its_duration(traced, tmp_path) -> None:
    each = traced()
    guard = Guard(each.instrumented(), log_file=tmp_path / "guard.log")
    await graphql(guard, "{ok}")
    headers = {"accept": "application/openmetrics-text"}
    page = (await request(guard, "GET", "/metrics", client=LOOPBACK, headers=headers)).body.decode()
    shown = {line.split("{")[0] for line in page.splitlines() if f'# {{trace_id="{each.logged(0)}"}}' in line}
    assert shown == {"fraiseql_response_time_seconds_bucket", "fraiseql_graphql_query_duration_seconds_bucket"}


async def test_a_trace_that_is_not_kept_is_none(traced, tmp_path) -> None:
    guard = Guard(traced(ALWAYS_OFF).instrumented(), log_file=tmp_path / "guard.log")
    await graphql(guard, "{ok}", headers=PARENT)
    headers = {"accept": "application/openmetrics-text"}
    page = await request(guard, "GET", "/metrics", client=LOOPBACK, headers=headers)
    assert b"trace_id" not in page.body


async def test_what_came_with_the_request_is_handed_on_as_it_came(traced, tmp_path) -> None:
    each = traced()
    guard = Guard(each.instrumented(), log_file=tmp_path / "guard.log")
    await request(guard, "GET", "/page", headers={**PARENT, "tracestate": "a=b"})
    (headers,) = each.headers
    assert headers["traceparent"] == PARENT["traceparent"]
    assert headers["tracestate"] == "a=b"


async def test_nothing_is_handed_down_where_no_app_traces(tmp_path, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "asgi_correlation_id", raising=False)
    app = EchoApp()
    await request(Guard(app, log_file=tmp_path / "guard.log"), "GET", "/page")
    assert app.scopes[0]["headers"] == []


def test_no_opentelemetry_is_needed() -> None:
    """The package works, and imports nothing of it, where it is not installed."""
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from fraiseql_guard import Guard\n"
        "from fraiseql_guard.telemetry.spans import active_span, mark\n"
        "mark(active_span(), 'A', 'b')\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_is_quick_to_import_where_it_is() -> None:
    """The SDK and the propagators are the app's to load."""
    program = (
        "import sys, fraiseql_guard\n"
        "print([name for name in ('opentelemetry.sdk', 'opentelemetry.propagate') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
