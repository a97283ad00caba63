"""What happened becomes metrics and log lines: the one room where signals are emitted. Nothing in here ever raises.

``requests``: what a request leaves behind; ``database``: what the app's database does; ``process``: what becomes of the
guard itself, its store, its keys and the machine. All speak through one ``voice``.
"""

from fraiseql_guard.telemetry.recorder.database import DatabaseRecorder
from fraiseql_guard.telemetry.recorder.process import ProcessRecorder
from fraiseql_guard.telemetry.recorder.requests import RequestRecorder

__all__ = ["DatabaseRecorder", "ProcessRecorder", "RequestRecorder"]
