"""Turns what happened into metrics and log lines: the only part of the guard that emits signals.

* ``requests``: what a request leaves behind; ``refusal_signals`` says which counters and lines belong to which code.
* ``database``: what the app reports of its database.
* ``sockets``: WebSockets, and subscriptions over whatever carries them.
* ``process``: what happens to the guard itself: its store, its keys, the memory of the process, and operators' actions.

All of them write through one ``SignalEmitter``. A signal that cannot be written never costs a request: the caller of a
recorder's method counts an exception as a fault of the guard.
"""

from fraiseql_guard.telemetry.recorder.requests import RequestRecorder

__all__ = ["RequestRecorder"]
