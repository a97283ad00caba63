"""A million damaged requests through the whole guard: every one is answered, none by a fault.

``python -m benchmarks mutations``: all processors, about a minute for each hundred thousand requests of one of them.
Prints what became of them by status and code, and the slowest; ends with 1 if a status of 500 or more, an exception or
a fault of a check was among them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fraiseql_guard import Guard
from tests.graphql.mutations import mutated_request
from tests.graphql.requests import BLOG, body
from tests.graphql.test_attacks import CORPUS

_ANSWER = b'{"data": {"ok": true}}'
_SERVER_ERROR = 500
_JSON = b"application/json"
_MEDIA_TYPES = (_JSON, b"application/json; charset=utf-8", b"text/plain", b"multipart/form-data; boundary=x")
_PATHS = ("/graphql", "/graphql", "/graphql", "//graphql/", "/x/../graphql", "/%67raphql")
_PLENTY = {"rate_limit_default": "900000000/minute", "dos_offences": 10**9, "rate_limit_abuse_offences": 10**9}
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"schema": BLOG, "batching": True, "apq": True, "introspection": "allow"},
    {"schema": BLOG, "multipart": True, "max_query_complexity": 10**6, "max_list_size": 10**6, "max_aliases": 10**4},
)

_ORDINARY = [
    "query Posts($n:Int){posts(limit:$n){id title author{id name} comments(limit:3){id body}}}",
    "{me{id name}}",
    'mutation M{createPost(title:"t"){id title}}',
    "query A($s:Boolean=true){me @include(if:$s){...Who}} fragment Who on User{id name}",
    '{posts(limit:5, filter:{title:"x", tags:["a","b"]}){id}}',
    '{search(text:"a"){__typename ... on User{name} ... on Post{title}}}',
]
_DOCUMENTS = [*CORPUS, *_ORDINARY * 4]


@dataclass(slots=True)
class Found:
    """What became of some requests."""

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    cpu_seconds: float = 0.0


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": _ANSWER})


async def _run(seed: int, count: int) -> Found:
    found, rng = Found(), random.Random(seed)
    guards = [Guard(_app, log_file=os.devnull, **_PLENTY, **variant) for variant in _VARIANTS]
    payloads = [body(text, {"n": 5, "s": True}) for text in _DOCUMENTS]
    payloads.append(b"[" + payloads[0] + b"," + payloads[9] + b"]")
    began = time.process_time()
    for number in range(count):
        await _ask(guards[number % len(guards)], rng, payloads, found)
        if number % 64 == 0:
            await asyncio.sleep(0)
    found.cpu_seconds = time.process_time() - began
    for guard in guards:
        text = guard.recorder.metrics.render().decode()
        faults = [line for line in text.splitlines() if line.startswith("fraiseql_guard_faults_total{")]
        found.broken += [line for line in faults if not line.endswith(" 0.0")]
        await guard.aclose()
    return found


async def _ask(guard: Guard, rng: random.Random, payloads: list[bytes], found: Found) -> None:
    method, query, payload = mutated_request(rng, _DOCUMENTS, payloads)
    media_type = rng.choice(_MEDIA_TYPES) if rng.random() < 0.1 else _JSON
    path = rng.choice(_PATHS)
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": query, "client": ("203.0.113.7", 40000),
        "headers": [(b"content-type", media_type), (b"content-length", b"%d" % len(payload))],
    }  # fmt: skip
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": payload}

    async def send(message: Any) -> None:
        messages.append(message)

    began = time.perf_counter()
    try:
        await guard(scope, receive, send)
        status, code = messages[0]["status"], _code(messages[-1]["body"])
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        status, code = _SERVER_ERROR, repr(error)
    found.slowest_seconds = max(found.slowest_seconds, time.perf_counter() - began)
    found.answers[status, code] += 1
    if status >= _SERVER_ERROR:
        found.broken.append(f"{status} {code}: {method} {path} {query[:200]!r} {payload[:200]!r}")


def _code(answer: bytes) -> str:
    content = json.loads(answer)
    return content["errors"][0]["extensions"]["code"] if "errors" in content else content.get("code", "passed")


def _work(job: tuple[int, int]) -> Found:
    return asyncio.run(_run(*job))


def main() -> int:
    """Run them, print what became of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutations", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    workers = os.cpu_count() or 1
    share = -(-options.requests // workers)
    jobs = [(options.seed * 1_000 + worker, share) for worker in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        parts = pool.map(_work, jobs)
    answers: Counter[tuple[int, str]] = sum((part.answers for part in parts), Counter())
    broken = [line for part in parts for line in part.broken]
    for (status, code), times in answers.most_common():
        print(f"{times:10,}  {status}  {code}")
    total, cpu = sum(answers.values()), sum(part.cpu_seconds for part in parts)
    slowest = max(part.slowest_seconds for part in parts)
    times = f"{cpu / total * 1e3:.3f} ms of CPU each, the slowest answered in {slowest * 1e3:.0f} ms"
    print(f"{total:10,}  requests, {times}")
    print(f"{len(broken):10,}  of them a server error, an exception or a fault of a check")
    for line in broken[:20]:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
