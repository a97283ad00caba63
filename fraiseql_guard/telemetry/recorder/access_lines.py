"""Which answered requests have a line of their own (``http.request``)."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.settings import Settings

SAMPLE_RATE: Final = 10
"""One ordinary request in so many has a line, where the setting is ``sampled``."""
SLOW_SECONDS: Final = 1.0
"""A request that takes so long is always logged."""
_FAILED: Final = 400


class AccessLog:
    """Chooses requests by ``settings.access_log``: all, a sample, or none. The log's rate limit holds for the chosen
    ones as well."""

    __slots__ = ("_since", "all", "off")

    def __init__(self, settings: Settings) -> None:
        self.off = settings.access_log == "off"
        self.all = settings.access_log == "all"
        self._since = 0  # ordinary requests since the last one that was logged

    def rate(self, status: int, seconds: float) -> int:
        """How many requests the line of this request stands for; 0 if it has no line."""
        if self.all or self.off:
            return int(self.all)
        # Readers of a sample look for failed and slow requests: each of them has a line.
        if status >= _FAILED or seconds >= SLOW_SECONDS:
            return 1
        self._since += 1
        if self._since < SAMPLE_RATE:
            return 0
        self._since = 0
        return SAMPLE_RATE
