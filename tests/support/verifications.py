"""How many tokens are really verified, and not known from before or refused unseen."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.identity import tokens


def count_verifications(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows by one token with each that is taken apart from now on."""
    verified: list[Any] = []
    read = tokens.read_jws

    def counting(token: str, *more: Any) -> Any:
        verified.append(token)
        return read(token, *more)

    monkeypatch.setattr(tokens, "read_jws", counting)
    return verified
