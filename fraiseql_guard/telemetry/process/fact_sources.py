"""Facts about the host that others know: the database pool above all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Facts = Mapping[str, float]
Provider = Callable[[], Facts | None]
"""Returns what is known now, None if nothing is yet. Must be quick: it reads counters and waits for nothing."""

POOL: Final = "pool"
"""The database pool: active, idle, total, waiting (connections; requests that wait for one)."""


class FactSources:
    """Providers by name; a name that is given again replaces the former one."""

    __slots__ = ("_providers", "_reported")

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}
        self._reported: set[str] = set()

    def offer(self, name: str, provider: Provider) -> None:
        """Ask this provider from now on."""
        self._providers[name] = provider
        self._reported.discard(name)

    def ask(self, name: str, on_problem: Callable[[str], None]) -> Facts | None:
        """What is known now; None if nothing is. A provider that fails is complained about once."""
        provider = self._providers.get(name)
        if provider is None:
            return None
        try:
            found = provider()
            facts = None if found is None else dict(found)
        except Exception as error:  # noqa: BLE001 - the app's code
            if name not in self._reported:
                self._reported.add(name)
                on_problem(f"what is offered as {name!r} cannot be read ({type(error).__name__})")
            return None
        self._reported.discard(name)
        return facts
