"""One drill from beginning to end: attack, alert, look, action, verification. The same for all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from examples.drills.crowd import Crowd, Goodput
from examples.drills.definitions import Drill, Listed, Logged, Ranked
from examples.drills.office import Office
from examples.drills.scene import INSTANCES, Scene
from examples.drills.timeline import Timeline

GOODPUT: Final = 0.95
"""What ordinary users must get, from the first request of the attack to the recovery; from the recovery on, where the
incident hits everybody."""
ENOUGH_REQUESTS: Final = 25
"""Ordinary requests that show that users are served again."""
PATIENCE_SECONDS: Final = 90.0
"""For each wait. It takes a quarter of that; a busy machine takes longer."""
DEPLOYMENT: Final = "sockets close --all"
"""What closes all WebSockets at once, as a deployment does."""
_LOOK_EVERY_SECONDS: Final = 0.25
_SCRAPED: Final = "count_over_time(fraiseql_graphql_queries_total[1m]) >= 4"
"""What happened before the first scrapes has happened before time began."""

Found = TypeVar("Found")


class DrillError(Exception):
    """The drill did not go as the runbook says."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A drill that went as the runbook says."""

    seconds: float
    goodput: Goodput


async def run(drill: Drill, scene: Scene, timeline: Timeline) -> Passed:
    """Everything, in order. DrillError at the first thing that is not as it should be."""
    async with Crowd(scene) as crowd, _office(drill, scene) as office:
        crowd.begin_ordinary()
        await _until(lambda: len(scene.prometheus.query(_SCRAPED)) >= INSTANCES, "both instances are scraped")
        if not await asyncio.to_thread(scene.ask, drill.verify):
            raise DrillError(f"{drill.verify}: not so before the attack")
        await _all_there(office)
        crowd.count_from_now()
        timeline.began_at = time.monotonic()
        crowd.begin(drill.attack)
        if office.clients:
            await asyncio.to_thread(scene.type, DEPLOYMENT)
            timeline.note("deployment", f"{office.clients} clients behind one address come back at once", "yellow")
        what = "WebSockets" if drill.attack.sockets else _short(drill.attack.document)
        timeline.note("attack", f"{drill.attack.callers} callers: {what}", "red")
        notice = await _until(lambda: _notice(scene, drill.alert, "firing"), f"{drill.alert} fires")
        timeline.note("alert", f"{notice.name}: {notice.annotations['summary']}", "yellow")
        if await asyncio.to_thread(scene.ask, drill.verify):
            raise DrillError(f"{drill.verify}: so while {drill.alert} fires, which verifies nothing")
        if drill.hits_everybody and crowd.goodput.ratio >= GOODPUT:
            raise DrillError(f"ordinary users are served while {drill.alert} fires: it hits not everybody")
        found = await asyncio.to_thread(_look, drill, scene, timeline)
        for action in drill.actions:
            command = action.format_map(found)
            said = await asyncio.to_thread(scene.type, command)
            timeline.note("action", f"fraiseql-guard {command}", "cyan")
            timeline.note("", said)
        await _until(lambda: bool(scene.ask(drill.verify)), drill.verify)
        timeline.note("verified", drill.verify, "green")
        if drill.hits_everybody:
            crowd.count_from_now()
            await _until(lambda: crowd.goodput.sent >= ENOUGH_REQUESTS, "ordinary users ask again")
        await _until(lambda: _notice(scene, drill.alert, "resolved"), f"{drill.alert} resolves")
        timeline.note("resolved", drill.alert, "green")
        await _all_there(office)
        passed = Passed(round(timeline.seconds, 1), crowd.goodput)
    judge(passed.goodput)
    return passed


@asynccontextmanager
async def _office(drill: Drill, scene: Scene) -> AsyncIterator[Office]:
    """The clients behind one address, if the drill has some."""
    office = Office(scene, drill.office)
    office.begin()
    try:
        yield office
    finally:
        await office.end()


async def _all_there(office: Office) -> None:
    """Until all but a few clients of the office are connected."""
    enough = office.clients * GOODPUT
    await _until(
        lambda: office.connected >= enough, f"{enough:.0f} of {office.clients} clients have their subscription"
    )


def judge(goodput: Goodput) -> None:
    """DrillError if ordinary users had to suffer."""
    if not goodput.sent:
        raise DrillError("no ordinary user asked for anything")
    if goodput.ratio < GOODPUT:
        raise DrillError(
            f"{goodput.served} of {goodput.sent} requests of ordinary users were served, which is less than "
            f"{GOODPUT:.0%}; the first that was not: {goodput.first_failure}"
        )


def _look(drill: Drill, scene: Scene, timeline: Timeline) -> Mapping[str, Any]:
    """Who or what it is, as the runbook finds out."""
    match drill.look:
        case Ranked(expression):
            series = sorted(scene.ask(expression), key=lambda each: -float(each["value"][1]))
            if not series:
                raise DrillError(f"{expression}: finds nobody")
            found, said = series[0]["metric"], f"{expression} → "
        case Logged(event, column, name):
            values = scene.logged(event.name)["runbooks"].get(drill.runbook.value, {}).get(column)
            if not values:
                raise DrillError(f"fraiseql-guard logs --event {event.name}: names no {column}")
            found, said = {name: next(iter(values))}, f"fraiseql-guard logs --event {event.name} → "
        case Listed(command, column):
            rows = json.loads(scene.type(f"{command} --json"))
            if not rows:
                raise DrillError(f"fraiseql-guard {command}: lists nothing")
            found, said = {column: rows[0][column]}, f"fraiseql-guard {command} → "
    timeline.note("look", said + " ".join(f"{name}={value}" for name, value in found.items()))
    return found


def _notice(scene: Scene, name: str, status: str) -> Any:
    return next((each for each in scene.webhook.notices if (each.name, each.status) == (name, status)), None)


async def _until(look: Callable[[], Found], sentence: str) -> Found:
    """What ``look`` (which may block) finds as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await asyncio.to_thread(look)):
        if time.monotonic() > deadline:
            raise DrillError(f"{sentence}: not within {PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return found


def _short(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:67]}..."
