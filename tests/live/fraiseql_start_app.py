"""A FraiseQL app that adds the guard by add_middleware. No database is there: a start that goes wrong asks for none."""

from __future__ import annotations

import fraiseql
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app

from fraiseql_guard import Guard


@fraiseql.query
async def ready(info: object) -> bool:
    """Whether the app was reached."""
    return True


app = create_fraiseql_app(config=FraiseQLConfig(database_url="postgresql://app@127.0.0.1:1/nowhere"), queries=[ready])
app.add_middleware(Guard)
