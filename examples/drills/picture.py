"""``python -m examples.drills.picture FILE.svg|FILE.png``: the dashboard after all attacks, one by one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from examples.drills.container import ROOM
from examples.drills.crowd import Crowd
from examples.drills.definitions import DRILLS
from examples.drills.scene import SCALE, Scene, set_up
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.runbooks.dashboard import dashboard
from fraiseql_guard.operations.runbooks.render import Choices
from tools.panels import drawn
from tools.picture import picture, save

QUIET_SECONDS: Final = 20.0
ATTACK_SECONDS: Final = 25.0
_SETTINGS: Final[Mapping[str, str]] = {
    **ROOM,
    name_of("rate_limit_authenticated"): "300/minute",
    name_of("query_timeout"): "2",
}


async def happen(scene: Scene) -> float:
    """A quiet time, each attack for a while, then all at once, so that the rankings show callers too; in seconds."""
    began = asyncio.get_running_loop().time()
    async with Crowd(scene) as ordinary:
        ordinary.begin_ordinary()
        await asyncio.sleep(QUIET_SECONDS)
        for drill in DRILLS.values():
            async with Crowd(scene) as bad:
                bad.begin(drill.attack)
                await asyncio.sleep(ATTACK_SECONDS)
        await asyncio.sleep(QUIET_SECONDS)
        async with Crowd(scene) as bad:
            for drill in DRILLS.values():
                bad.begin(drill.attack)
            await asyncio.sleep(QUIET_SECONDS)
    return asyncio.get_running_loop().time() - began


def main() -> int:
    """2 without a file."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with set_up(_SETTINGS) as scene:
        seconds = asyncio.run(happen(scene))
        shown = dashboard(Choices(scale=SCALE))
        panels = list(drawn(shown, scene.prometheus.url, seconds=seconds, step_seconds=1))
    save(picture(panels, title=shown["title"]), Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
