"""How the sub-stores reach their keys: sends scripts and commands to the node of a key, and has foreign keys
repaired."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client import Command, Question, Script
from fraiseql_guard.stores.redis.namespace import Namespace
from fraiseql_guard.stores.redis.repair import Repair, foreign
from fraiseql_guard.stores.unreadable import UnreadableEntries

Argument = str | int | float | bytes
Send = Callable[[str, Question], Awaitable[Any]]
"""Sends a command or a call to the server that holds a key; returns the answer."""


class RedisKeys:
    """The guard's keys on one Redis, under the names of ``names``.

    A key that other software has written to is repaired, and then asked once more (repair.py). Every method may raise
    StoreError. ``unreadable`` counts the entries that were ignored because the guard did not write them.
    """

    def __init__(self, send: Send, scripts: Mapping[str, Script], names: Namespace) -> None:
        self.send = send
        self.scripts = scripts
        self.names = names
        self.unreadable = UnreadableEntries()
        self.repair = Repair(send, names, self.unreadable)

    async def ask(self, key: str, command: Command) -> Any:
        """The answer to a command about a key of the fleet."""
        try:
            return await self.send(key, command)
        except StoreError as error:
            # No key was repaired: the failure has another cause.
            if not foreign(error) or not await self.repair.shared(key):
                raise
        # Once more only: a failure after the repair has another cause.
        return await self.send(key, command)

    async def run(self, script: str, key: str, arguments: Iterable[Argument]) -> Any:
        """The answer of a script that reaches ``key`` and keys with its hash tag."""
        return await self.ask(key, self._command(script, key, arguments))

    async def run_on_sanctions(self, subject: Subject, script: str, arguments: Iterable[Argument]) -> Any:
        """The answer of a script on a subject's sanctions."""
        key = self.names.sanctions_of(subject)
        command = self._command(script, key, arguments)
        try:
            return await self.send(key, command)
        except StoreError as error:
            if not foreign(error) or not await self.repair.subject(subject):
                raise
        return await self.send(key, command)

    async def run_on_buckets(
        self, subject: Subject, script: str, key: str, arguments: Iterable[Argument], buckets: Iterable[str]
    ) -> Any:
        """The answer of a script on buckets of a subject, one of which has this key."""
        command = self._command(script, key, arguments)
        try:
            return await self.send(key, command)
        except StoreError as error:
            if not foreign(error) or not await self.repair.subject(subject, buckets):
                raise
        return await self.send(key, command)

    def run_unrepaired(self, script: str, key: str, arguments: Iterable[Argument]) -> Awaitable[Any]:
        """The answer of a script; a key that other software has written to is not repaired."""
        return self.send(key, self._command(script, key, arguments))

    def _command(self, script: str, key: str, arguments: Iterable[Argument]) -> Command:
        return ("EVALSHA", self.scripts[script].sha, 1, key, *arguments)
