"""``python -m fraiseql_guard``: the command ``fraiseql-guard``."""

from fraiseql_guard.cli import app

app(prog_name="fraiseql-guard")
