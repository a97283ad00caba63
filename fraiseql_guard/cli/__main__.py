"""``python -m fraiseql_guard.cli``."""

from fraiseql_guard.cli.main import app

app()
