"""A worker process for the multi-process tests: does what it is told on standard input, one Python statement a line."""

from __future__ import annotations

import sys

from fraiseql_guard.core import signals as s  # noqa: F401 - for the statements
from fraiseql_guard.telemetry import Metrics


class Clock:
    """Stands still until a statement moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def main() -> None:
    clock = Clock()
    metrics = Metrics(workers=2, clock=clock)
    names = {**globals(), "metrics": metrics, "clock": clock}
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "render":
            body = metrics.render()
            print(len(body), flush=True)
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        else:
            exec(line, names)
            print("done", flush=True)


if __name__ == "__main__":
    main()
