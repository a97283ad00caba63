"""Facts about the app that only the app can tell, such as the state of its database pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Facts = Mapping[str, float]
Provider = Callable[[], Facts | None]
"""Returns the facts of this moment; None if there are none yet. Must be quick: it reads counters and never waits."""

POOL: Final = "pool"
"""The name of the database pool's facts: active, idle and total (connections), waiting (requests for one)."""


class FactSources:
    """Providers of facts by name. A new provider replaces an earlier one of its name."""

    __slots__ = ("_providers", "_reported")

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}
        self._reported: set[str] = set()

    def offer(self, name: str, provider: Provider) -> None:
        """Ask this provider for the facts of a name from now on."""
        self._providers[name] = provider
        # A new provider is reported anew if it fails.
        self._reported.discard(name)

    def ask(self, name: str, on_problem: Callable[[str], None]) -> Facts | None:
        """The facts of this moment; None if there are none. ``on_problem`` is called with a sentence about a provider
        that fails: once, until it works again."""
        provider = self._providers.get(name)
        if provider is None:
            return None
        try:
            found = provider()
            # A copy: the app may go on changing its mapping.
            facts = None if found is None else dict(found)
        except Exception as error:  # noqa: BLE001 - the app's code
            if name not in self._reported:
                self._reported.add(name)
                on_problem(f"what is offered as {name!r} cannot be read ({type(error).__name__})")
            return None
        self._reported.discard(name)
        return facts
