"""The FraiseQL application behind the guard, configured by FRAISEQL_* variables."""

from __future__ import annotations

from examples.fraiseql_blog.bare import bare_app
from fraiseql_guard.fraiseql import protect

__all__ = ["app", "bare_app"]

app = protect(bare_app)
