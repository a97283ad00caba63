"""What a guard becomes that cannot be built, or cannot start: it says why, stops the server, and serves nothing."""

from __future__ import annotations

import asyncio
import inspect
import os
import traceback
from pathlib import Path
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from fraiseql_guard.asgi.dispatcher import refuse_websocket, refuse_with
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import GUARD_MISCONFIGURED, START_FAILED
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.telemetry import EventLog

_BUILDS: Final = "build_middleware_stack"


def built_by_starlette() -> bool:
    """Whether the caller is constructed by Starlette or FastAPI from ``app.add_middleware``.

    They build their middlewares while they handle the first scope. An exception there stops no server: most take it
    for "no lifespan", and then answer 500 for ever. It is found in the call stack, since an app does not tell
    its middlewares that it builds them.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == _BUILDS and _is_starlette(frame.f_locals.get("self")):
            return True
        frame = frame.f_back
    return False


def _is_starlette(app: object) -> bool:
    from starlette.applications import Starlette  # where something builds middlewares as Starlette does

    return isinstance(app, Starlette)


def running_loop() -> asyncio.AbstractEventLoop:
    """asyncio's event loop; SettingsError on another framework's, such as trio's."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise SettingsError(
            "this server does not run on asyncio (but on trio, for example), and the guard needs it. Accepted: a "
            "server or worker of asyncio or uvloop, for example uvicorn, or hypercorn --worker-class asyncio"
        ) from None


class UnusableGuard:
    """An ASGI app in the place of a guard and of all that it protects.

    The lifespan is answered with ``lifespan.startup.failed`` and the reason, which ends the server. Where there is no
    lifespan every request is answered 503 (GUARD_MISCONFIGURED), and every WebSocket refused. The reason is logged
    once. ``logger`` and ``log_file`` are the guard's own arguments, as far as they can be used.
    """

    def __init__(self, error: Exception, *, logger: Any = None, log_file: Path | str | None = None) -> None:
        self.error = error
        self._reason = _reason(error)
        self._logger = logger
        self._log_file = log_file
        self._said = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one scope. What is neither a request nor a lifespan ends without an answer."""
        self._say()
        kind = scope["type"]
        if kind == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"fraiseql-guard: {self._reason}"})
        elif kind == "http":
            await refuse_with(GUARD_MISCONFIGURED, send)
        elif kind == "websocket":
            await refuse_websocket(scope, send, GUARD_MISCONFIGURED)

    def _say(self) -> None:
        if self._said:
            return
        self._said = True
        log = _log(self._logger, self._log_file)
        log.emit(START_FAILED, {"detail": self._reason})
        log.close()  # the server may end at once


def _reason(error: Exception) -> str:
    """A SettingsError explains itself; of anything else the type and the place are a part of the explanation."""
    if isinstance(error, SettingsError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}, line {place[0].lineno})" if place else ""
    return f"{type(error).__name__}: {error}{where}"


def _log(logger: Any, log_file: Path | str | None) -> EventLog:
    """The log that the guard would have had; standard error where its file cannot be written."""
    variable = name_of("log_file")
    environ = {variable: os.environ.get(variable, "")}
    for given in ({"log_file": log_file}, {}):
        try:
            return EventLog(Settings.load(environ, **given), logger=logger)
        except SettingsError:
            environ = {}
    return EventLog(Settings.load({}), logger=logger)
