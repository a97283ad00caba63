"""Starlette's TestClient, which warns when it is imported that it will want another HTTP library one day."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
