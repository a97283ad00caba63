"""A worker process for the multi-process tests: does what it is told on standard input, one Python statement a line."""

from __future__ import annotations

import sys

from fraiseql_guard import signals as s  # noqa: F401 - for the statements
from fraiseql_guard.telemetry import Metrics


def main() -> None:
    metrics = Metrics(workers=2)
    names = {**globals(), "metrics": metrics}
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
