"""``status`` and ``keys``: what the workers report about themselves, and whether they agree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import typer

from fraiseql_guard.cli.connect import FleetConnection, UrlOption, ask
from fraiseql_guard.cli.durations import in_words
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.render import JsonOption, on_terminal, print_json, print_line, print_rows, remaining, warn
from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.settings import CHANGEABLE, Mode
from fraiseql_guard.operations.operator.interface import NotAppliedError, Status, Switch
from fraiseql_guard.operations.operator.shared_values import Worker


def status(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show every worker with its configuration's fingerprint, what is overridden, and what deserves a look."""
    with exit_on_error():
        found = ask(url, seen_status)
        # One worker's knowledge is shown all the same; the exit code says that it is not the fleet's.
        print_json(found) if as_json else _print_status(found)
        if not found.store_answers:
            raise NotAppliedError(of_one_worker(found))


def _print_status(found: Status) -> None:
    print_line(summary(found))
    print_rows(
        ("worker", "version", "configuration", "mode", "breaker", "in flight", "memory", "up", "seen"),
        [_worker_row(each, found.at) for each in found.workers],
        none="No worker reports: does one serve on this store?",
    )
    for each in found.switches:
        print_line(_in_a_line(each))
    for note in found.notes:
        print_line(f"note: {note}")


def _in_a_line(each: Switch) -> str:
    left = "" if each.expires_in_seconds is None else f", ends in {in_words(each.expires_in_seconds)}"
    return f"override: {each.kind} {each.name} {each.value}".rstrip() + f"{left}, by {each.actor or '?'}"


async def known_status(fleet: FleetConnection) -> Status:
    """The status of the whole fleet; NotAppliedError while the store does not answer: then no worker knows it."""
    found = await seen_status(fleet)
    if not found.store_answers:
        raise NotAppliedError(f"the store does not answer: only the worker {_only_worker(found)} is known")
    return found


async def seen_status(fleet: FleetConnection) -> Status:
    """The status of the fleet, or of one worker while the store does not answer; NotAppliedError if no worker is
    asked."""
    found = await fleet.operator.status()
    if not found.store_answers and found.alone is None:
        raise NotAppliedError(next(iter(found.notes), "the store does not answer"))
    return found


def summary(found: Status) -> str:
    """The fleet in one line. Unknown numbers are never shown as 0."""
    switches = amount(len(found.switches), "override")
    # The store does not answer: these are one worker's numbers.
    if found.alone is not None:
        here = amount(found.alone.sanctions, "sanction")
        return (
            f"ONLY WHAT ONE WORKER KNOWS, {found.store} does not answer: {here} known to it, {switches} in force in it"
        )
    sanctions = "sanctions not known" if found.sanctions is None else amount(found.sanctions, "sanction")
    return f"{amount(len(found.workers), 'worker')}, {sanctions}, {switches}, on {found.store}"


def of_one_worker(found: Status) -> str:
    """A sentence that names the one worker whose knowledge a status shows while the store does not answer."""
    return f"the store does not answer: what is shown is what the worker {_only_worker(found)} knows by itself"


def _only_worker(found: Status) -> str:
    return ", ".join(map(name_of_worker, found.workers))


def name_of_worker(worker: Worker) -> str:
    """A worker's name for people: ``host/pid``."""
    return f"{worker.host}/{worker.pid}"


def _worker_row(worker: Worker, now: float) -> Sequence[object]:
    percent = (worker.memory or {}).get("usage_percent")
    # Unix times of two machines: a difference of their clocks makes these ages wrong by as much.
    since, seen = now - worker.started_at, now - worker.seen_at
    return (
        name_of_worker(worker),
        worker.version,
        worker.fingerprint[:12],
        _mode(worker.modes),
        "open" if worker.breaker_open else "closed",
        worker.in_flight,
        None if percent is None else f"{percent:.0f} %",
        remaining(since),
        remaining(seen),
    )


def _mode(modes: Mapping[str, str]) -> str:
    """The mode of all mounted protections if they share one; else each protection with its mode."""
    # Protections that can monitor, and are mounted.
    own = {name: mode for name, mode in modes.items() if f"mode_{name}" in CHANGEABLE and mode != Mode.OFF}
    if len(set(own.values())) == 1:
        return next(iter(own.values()))
    return ", ".join(f"{name} {mode}" for name, mode in own.items())


def keys(
    has: Annotated[
        str | None,
        typer.Option(
            metavar="SLOT",
            help="Ask whether all workers have a key here: current, old, new, or a kid.",
            autocompletion=lambda: ["current", "old", "new"],
            show_default=False,
        ),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which worker verifies tokens with which keys, and how many each has verified. Ends with 0 if all workers
    have the same keys (with --has: the same key in that slot), 1 if not."""
    with exit_on_error():
        workers = ask(url, known_status).workers
    agreed, sentence = verdict(workers, has)
    if as_json:
        fields = ("id", "host", "pid", "key_fingerprints", "token_keys")
        listed = [{name: getattr(each, name) for name in fields} for each in workers]
        print_json({"agreed": agreed, "verdict": sentence, "workers": listed})
    else:
        _print_keys(workers, has)
        _print_verdict(sentence, agreed=agreed)
    raise typer.Exit(0 if agreed else REFUSED)


def _print_keys(workers: Sequence[Worker], slot: str | None) -> None:
    """Print a row for each key of each worker; with a ``slot`` only for the keys in it."""
    rows = [
        (name_of_worker(each), name, fingerprint, each.token_keys.get(name, 0))
        for each in workers
        for name, fingerprint in sorted(each.key_fingerprints.items())
        if slot in (None, name)
    ]
    print_rows(("worker", "key", "fingerprint", "verified"), rows, none="No key.")


def _print_verdict(sentence: str, *, agreed: bool) -> None:
    # In a pipe only the rows are output; a disagreement is said on standard error.
    if on_terminal():
        print_line(sentence)
    elif not agreed:
        warn(sentence)


def verdict(workers: Sequence[Worker], slot: str | None = None) -> tuple[bool, str]:
    """Whether all workers verify with the same keys (or with the same key in one slot), and a sentence that names the
    workers that differ."""
    if not workers:
        return False, "No worker reports: nothing is known of their keys."
    held = {name_of_worker(each): _keys_of(each, slot) for each in workers}
    what = ("keys", "other keys") if slot is None else (f"key as {slot}", f"another key as {slot}")
    if slot is not None and (without := [name for name, own in held.items() if not own]):
        return False, f"{len(without)} of {len(held)} workers have no key as {slot}: {', '.join(without)}."
    groups = _by_keys(held)
    if len(groups) == 1:
        return True, f"All {len(held)} workers have the same {what[0]}."
    # The smallest group has most likely missed a rotation.
    fewest = min(groups, key=len)
    return False, f"{len(fewest)} of {len(held)} workers have {what[1]} than the rest: {', '.join(fewest)}."


_Keys = tuple[tuple[str, str], ...]


def _by_keys(held: Mapping[str, _Keys]) -> Collection[Sequence[str]]:
    """The names of the workers, in groups with the same keys."""
    groups: dict[_Keys, list[str]] = {}
    for name, own in held.items():
        groups.setdefault(own, []).append(name)
    return groups.values()


def _keys_of(worker: Worker, slot: str | None) -> _Keys:
    return tuple(sorted(each for each in worker.key_fingerprints.items() if slot in (None, each[0])))
