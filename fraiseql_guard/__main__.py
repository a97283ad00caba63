"""``fraiseql-guard`` and ``python -m fraiseql_guard``: the command, or the sentence about what it lacks."""

from __future__ import annotations

import sys

from fraiseql_guard.core.extras import Extra, lacking


def main() -> None:
    """Run the command. Without its packages: one line on standard error, and exit code 2."""
    sentence = lacking(Extra.CLI, "The command fraiseql-guard")
    if sentence is not None:
        sys.exit(_refused(sentence))
    from fraiseql_guard.cli import app

    app(prog_name="fraiseql-guard")


def _refused(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2


if __name__ == "__main__":
    main()
