"""Which answered requests have a line of their own (``http.request``)."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.settings import Settings

SAMPLE_RATE: Final = 10
"""Of the ordinary ones, one in so many."""
SLOW_SECONDS: Final = 1.0
"""From this on a request is none of the ordinary ones."""
_FAILED: Final = 400


class AccessLog:
    """Chooses by ``settings.access_log``: all, a sample, or none. The limits on floods hold for what it has chosen."""

    __slots__ = ("_since", "all", "off")

    def __init__(self, settings: Settings) -> None:
        self.off = settings.access_log == "off"
        self.all = settings.access_log == "all"
        self._since = 0

    def rate(self, status: int, seconds: float) -> int:
        """How many requests the line of this one stands for; 0 if it has none."""
        if self.all or self.off:
            return int(self.all)
        if status >= _FAILED or seconds >= SLOW_SECONDS:
            return 1
        self._since += 1
        if self._since < SAMPLE_RATE:
            return 0
        self._since = 0
        return SAMPLE_RATE
