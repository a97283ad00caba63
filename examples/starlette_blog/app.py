"""The Starlette application behind the guard, configured by FRAISEQL_* variables."""

from __future__ import annotations

from examples.starlette_blog.bare import bare_app, schema
from fraiseql_guard import Guard

__all__ = ["app", "bare_app", "schema"]

app = Guard(bare_app, schema=schema)
