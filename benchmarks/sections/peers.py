"""Peers: other rate limiters for ASGI on the same app and Redis."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.charts import OTHERS, OURS, Axis, Bar, bars, number_of
from benchmarks.peers.costs import SERVED
from benchmarks.peers.variants import LIMIT, OURS_MEMORY, VARIANTS
from benchmarks.peers.variants import OURS as OURS_NAME
from benchmarks.sections import Chart, Line, Section

_ONE, _MANY = "1", "64"
_PEERS: Final = tuple(variant.name for variant in VARIANTS if variant.packages)
_SHOWN: Final = {
    OURS_NAME: "fraiseql-guard on Redis",
    OURS_MEMORY: "fraiseql-guard in memory",
    LIMIT: "one bare connection, no safeguard",
}
"""Rows that are not packages of others, as a reader knows them."""


@dataclass(frozen=True, slots=True)
class _Peer:
    name: str
    share: float
    added: Mapping[str, float]
    commands: float
    faults: Mapping[str, Any]

    @property
    def shown(self) -> str:
        return _SHOWN.get(self.name, self.name)


def section(figures: Mapping[str, Any]) -> Section:
    """``figures``: costs and faults by variant."""
    variants = figures["variants"]
    known = [_read(name, variants) for name in (*_SHOWN, *_PEERS) if SERVED in variants.get(name, {}).get("costs", {})]
    by_name = {peer.name: peer for peer in known}
    ours = by_name[OURS_NAME]
    ordered = sorted(known, key=lambda peer: peer.added[_MANY])
    chart = bars(
        "CPU that a rate limit adds to a request, 64 at a time",
        Axis(label="CPU added, µs a request"),
        [
            Bar(peer.shown, peer.added[_MANY], OURS if peer.name in (OURS_NAME, OURS_MEMORY) else OTHERS)
            for peer in ordered
        ],
    )
    peers = [peer for peer in ordered if peer.name in _PEERS]
    rows = [["", "requests/s, share of the bare app's", "µs added, one at a time", "µs added, 64", "commands"]]
    rows += [
        [peer.shown, f"{peer.share:.2f}", *(number_of(peer.added[at]) for at in (_ONE, _MANY)), f"{peer.commands:.2f}"]
        for peer in ordered
    ]
    return Section(
        charts=[Chart(svg=chart, shows="CPU that each rate limiter adds to a request")],
        text=" ".join(
            filter(
                None,
                [
                    _compared(ours, peers),
                    _cheaper(ours, peers),
                    _slower(ours, by_name.get(LIMIT)),
                    _away(known),
                    _failed(figures),
                ],
            )
        ),
        table=rows,
        summary=[
            Line(
                "CPU added by a rate limit on Redis, 64 at once", f"{ours.added[_MANY]:.0f} µs", _beside(peers, _MANY)
            ),
            Line("the same, one at a time", f"{ours.added[_ONE]:.0f} µs", _beside(peers, _ONE)),
            Line(
                "requests/s, share of the bare app's",
                f"{ours.share:.2f}",
                ", ".join(f"{p.name} {p.share:.2f}" for p in peers),
            ),
        ],
    )


def _read(name: str, variants: Mapping[str, Any]) -> _Peer:
    variant = variants[name]
    costs, base = variant["costs"][SERVED], variants[variant["base"]]["costs"][SERVED]

    def by_round(mine: Sequence[float], other: Sequence[float]) -> list[tuple[float, float]]:
        return list(zip(mine, other, strict=False))

    return _Peer(
        name,
        statistics.median(mine / bare for mine, bare in by_round(costs["per_second"], base["per_second"])),
        {
            at: statistics.median(mine - bare for mine, bare in by_round(costs["cpu"][at], base["cpu"][at]))
            for at in (_ONE, _MANY)
        },
        costs["commands"] or 0.0,
        variant["faults"],
    )


def _beside(peers: Sequence[_Peer], at: str) -> str:
    return ", ".join(f"{peer.name} {peer.added[at]:.0f}" for peer in peers)


def _compared(ours: _Peer, peers: Sequence[_Peer]) -> str:
    if not peers:
        return ""
    least = peers[0]
    more, less = (ours, least) if ours.added[_MANY] > least.added[_MANY] else (least, ours)
    words = f"{less.shown} adds {number_of(less.added[_MANY])} µs, {more.shown} {number_of(more.added[_MANY])} µs"
    dearest = peers[-1]
    rest = f", {dearest.shown} {number_of(dearest.added[_MANY])} µs" if dearest is not least else ""
    return f"With 64 requests at a time {words}{rest}."


def _cheaper(ours: _Peer, peers: Sequence[_Peer]) -> str:
    """Those that cost less than ours, one request at a time or many."""
    told = []
    for at, words in ((_ONE, "one at a time"), (_MANY, "64 at a time")):
        less = [f"{peer.shown} ({number_of(peer.added[at])} µs)" for peer in peers if peer.added[at] < ours.added[at]]
        if less:
            told.append(f"{words} {', '.join(less)}")
    return f"Cheaper than ours were {'; '.join(told)}." if told else "None of them was cheaper than ours."


def _slower(ours: _Peer, limit: _Peer | None) -> str:
    if limit is None or limit.added[_MANY] <= 0:
        return ""
    times = ours.added[_MANY] / limit.added[_MANY]
    return (
        f"The same script on one bare connection, without deadline, fallback, headers or metrics, adds "
        f"{number_of(limit.added[_MANY])} µs: ours takes {times:.1f} times that."
    )


def _away(known: Sequence[_Peer]) -> str:
    told = []
    for peer in known:
        for fault, seen in peer.faults.items():
            codes = ", ".join("no answer" if code == "0" else code for code in seen["statuses"])
            told.append(f"{peer.shown}, Redis {fault}: {codes}; slowest {seen['slowest_seconds'] * 1e3:,.0f} ms")
    return f"While Redis was away for three seconds: {'. '.join(told)}." if told else ""


def _failed(figures: Mapping[str, Any]) -> str:
    failed = [
        f"{name} ({each['errors'][SERVED]})" for name, each in figures["variants"].items() if SERVED in each["errors"]
    ]
    return f"Not measured: {', '.join(failed)}." if failed else ""
