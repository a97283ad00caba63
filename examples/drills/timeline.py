"""What happened when: printed as it happens, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Moment:
    """``seconds`` since the first request of the attack."""

    seconds: float
    what: str
    detail: str


@dataclass(slots=True)
class Timeline:
    """The course of one drill. Without a console nothing is printed."""

    console: Console | None
    clock: Callable[[], float] = time.monotonic
    began_at: float | None = None
    moments: list[Moment] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Since the first request of the attack; 0 before it."""
        return 0.0 if self.began_at is None else self.clock() - self.began_at

    def note(self, what: str, detail: str, style: str = "") -> None:
        """Something has happened now."""
        moment = Moment(round(self.seconds, 1), what, detail)
        self.moments.append(moment)
        if self.console is not None:
            text = Text.assemble((f"  {moment.seconds:6.1f} s  ", "dim"), (f"{what:<10} ", "bold"), (detail, style))
            self.console.print(text, soft_wrap=True)

    def as_json(self) -> list[dict[str, Any]]:
        """For a program."""
        return [asdict(each) for each in self.moments]
