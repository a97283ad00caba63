"""A peer of ``python -m benchmarks hostile`` in a process and an environment of its own.

Started as a file by that environment's Python: imports nothing of this project. Reads the path of a request's body a
line, answers the CPU milliseconds and what became of it. The parent limits its CPU.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphql import GraphQLError, build_schema, parse, specified_rules, validate

DEPTH, ALIASES, TOKENS = (int(text) for text in sys.argv[3:6])
REPEATED_BELOW_MS = 50.0
REPEATS = 5

Check = Callable[[str], Any]
"""Returns the errors of a document, or raises the one that ended its reading."""


def core_parse(_schema: Any) -> Check:
    """The parser alone, as it stands."""

    def check(text: str) -> Any:
        parse(text)

    return check


def core_validate(schema: Any) -> Check:
    """Parser and the specified rules."""
    return lambda text: validate(schema, parse(text))


def strawberry(schema: Any) -> Check:
    """MaxTokensLimiter, MaxAliasesLimiter and QueryDepthLimiter, beside the specified rules."""
    from strawberry.extensions import max_aliases, query_depth_limiter

    limits = (max_aliases.create_validator(ALIASES), query_depth_limiter.create_validator(DEPTH, None))
    rules = (*specified_rules, *limits)
    return lambda text: validate(schema, parse(text, max_tokens=TOKENS), rules)


def graphene(schema: Any) -> Check:
    """depth_limit_validator alone, as its documentation calls it."""
    from graphene.validation import depth_limit_validator

    rules = (depth_limit_validator(max_depth=DEPTH),)
    return lambda text: validate(schema, parse(text), rules=rules)


def outcome(check: Check, body: bytes) -> str:
    """``refused``, ``admitted``, or what it broke with."""
    try:
        text = json.loads(body)["query"]
    except ValueError:
        return "refused"
    except RecursionError:
        return "RecursionError"
    try:
        return "refused" if check(text) else "admitted"
    except GraphQLError:
        return "refused"
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the result
        return type(problem).__name__


def measure(check: Check, body: bytes) -> dict[str, Any]:
    """The median of a few runs, or the only one where one takes long."""
    figures: list[float] = []
    became = ""
    while len(figures) < REPEATS and (not figures or figures[-1] < REPEATED_BELOW_MS):
        began = time.thread_time()  # under a limit on its CPU, a process's own clock moves in ticks of 4 ms
        became = outcome(check, body)
        figures.append((time.thread_time() - began) * 1e3)
    return {"ms": statistics.median(figures), "outcome": became, "cpu": time.process_time()}


def main() -> None:
    """Answer until the input ends."""
    check = globals()[sys.argv[1]](build_schema(Path(sys.argv[2]).read_text(encoding="utf-8")))
    check("{users{id}}")  # lazy imports and caches are not the attack's
    print(json.dumps({"cpu": time.process_time()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(check, Path(line.rstrip("\n")).read_bytes())), flush=True)


if __name__ == "__main__":
    main()
