"""Every cache and fast path of the guard, and how it is switched off: in the process of a benchmark's server alone.

There are no settings for this. Each of them is switched off by putting something else in the place of a private part,
before a guard is made (benchmarks/ablation_parts.py). A row goes with the part that it switches off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.ablation_parts import PartMissingError, afterwards, part, put, uncached

PAGE, PAGE_TOKEN, NEW, AGAIN, REFUSED = "page", "page, token", "GraphQL, new variables", "GraphQL, again", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One row. ``asked``: the requests that it is measured with; ``bare``: instead of switching something off, there is
    no guard."""

    what: str
    asked: tuple[str, ...]
    off: Callable[[], None] = lambda: None
    bare: bool = False


def _empty() -> Any:
    """A memory that holds nothing."""
    return part("core.lru:Lru")(0)


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of what remembers or finds."""


# --- one function a row -----------------------------------------------------------------------------------------------


def head_cache() -> None:
    """No head has a key, so that none is found or cached (nor a refusal given again, which none is here)."""
    put("asgi.head_cache:RequestHeadCache", "key", _nothing)


def usual() -> None:
    """No request is usual, so that what each asks of the store is made and packed."""
    put("checks.admission:Admission", "usual_request", _nothing)


def packed() -> None:
    """What questions to the store have in common on the wire is packed for each."""
    uncached("stores.redis.admit_codec", "_packed")


def requests() -> None:
    """No request is found by its bytes."""
    afterwards("graphql.reader:Reader", _requests=lambda: None)


def documents() -> None:
    """Every document is read and planned anew."""
    afterwards("graphql.analyzer:Analyzer", _documents=_empty)


def readings() -> None:
    """What a known document costs is priced and judged anew."""
    afterwards("graphql.analyzer:Analyzer", _analyses=_empty)


def timers() -> None:
    """Every deadline is a timer of the event loop."""
    put("asgi.components", "DeadlineTimers", _LoopTimers)


def backlog() -> None:
    """What a request leaves behind is counted at once."""

    def add(self: Any, *record: Any) -> None:
        self._waiting.append(record)
        self.flush()

    put("telemetry.recorder.deferred_records:DeferredRecords", "add", add)


def tokens() -> None:
    """Every token is verified, and is told as one that is new."""
    put("identity.tokens:TokenVerifier", "_remember", _nothing)


def refusals() -> None:
    """The store is asked about every request of a caller who was just refused."""
    put("stores.refusals:Refusals", "remember", _nothing)


def refusal_cache() -> None:
    """Every refusal from memory goes through the checks and is written anew."""
    put("asgi.refusal_cache:RefusalResponseCache", "remember", _nothing)


def header_names() -> None:
    """Whether a header counts is asked each time."""
    put("identity.proxy_headers", "_is_short", lambda name: False)


def labels() -> None:
    """Labels of metrics are made safe each time."""
    uncached("telemetry.metrics.labels", "escape_label")


def header_lines() -> None:
    """The lines that tell a limit are written each time."""
    uncached("asgi.limit_headers", "_constant")


class _LoopTimers:
    """Timers of an event loop with the face of the guard's own."""

    __slots__ = ("_loop",)

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def call_at(self, when: float, call: Callable[[], object]) -> _LoopTimer:
        """Set one."""
        return _LoopTimer(self._loop.call_at(when, call))


class _LoopTimer:
    __slots__ = ("_handle", "cancel", "when")

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.cancel, self.when = handle.cancel, handle.when

    @property
    def call(self) -> None:
        """Writing None calls it off."""

    @call.setter
    def call(self, _: None) -> None:
        self._handle.cancel()


def everything() -> None:
    """All of the rows above, as far as they are there."""
    for name, row in ABLATIONS.items():
        if name != "all" and not row.bare:
            with suppress(PartMissingError):
                row.off()


ABLATIONS: Final[Mapping[str, Ablation]] = {
    "guard": Ablation(what="the whole guard: what is left is the bare app", asked=(PAGE, NEW, AGAIN), bare=True),
    "nothing": Ablation(what="nothing: the error of the measurement", asked=(PAGE, NEW)),
    "heads": Ablation(
        what="heads that passed before (RequestHeadCache)", asked=(PAGE, PAGE_TOKEN, NEW, AGAIN), off=head_cache
    ),
    "usual": Ablation(what="store calls remembered by their inputs (admission)", asked=(PAGE, NEW), off=usual),
    "packed": Ablation(what="what store calls have in common on the wire", asked=(PAGE_TOKEN, REFUSED), off=packed),
    "requests": Ablation(what="requests by their bytes", asked=(AGAIN,), off=requests),
    "documents": Ablation(what="measured documents", asked=(NEW,), off=documents),
    "readings": Ablation(what="judged costs of a document", asked=(NEW,), off=readings),
    "timers": Ablation(what="coalesced timers (DeadlineTimers)", asked=(NEW,), off=timers),
    "backlog": Ablation(what="deferred accounting (DeferredRecords)", asked=(PAGE, NEW), off=backlog),
    "tokens": Ablation(what="verified tokens", asked=(PAGE_TOKEN,), off=tokens),
    "refusals": Ablation(what="remembered refusals, and their answers", asked=(REFUSED,), off=refusals),
    "repeats": Ablation(what="the answers to repeated refusals", asked=(REFUSED,), off=refusal_cache),
    "header-names": Ablation(what="what header names mean", asked=(PAGE, NEW), off=header_names),
    "labels": Ablation(what="labels made safe", asked=(PAGE,), off=labels),
    "header-lines": Ablation(what="constant header lines of a limit", asked=(PAGE,), off=header_lines),
    "all": Ablation(what="all of these", asked=(PAGE, PAGE_TOKEN, NEW, AGAIN, REFUSED), off=everything),
}
"""By name, in the order of a request."""
