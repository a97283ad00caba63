"""The FraiseQL example in every place, chosen by a header: its pool belongs to the process, which has but one."""

from typing import Any

from examples.hosts.fraiseql_app import app as guarded
from tests.hosts.places import PLACES, PLACING

placed = {place.name.encode(): place.put(guarded) for place in PLACES}


async def app(scope: Any, receive: Any, send: Any) -> None:
    chosen = dict(scope["headers"]).get(PLACING.encode()) if scope["type"] == "http" else None
    await (placed[chosen] if chosen else guarded)(scope, receive, send)
