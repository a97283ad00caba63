"""FRAISEQL_QUERY_TIMEOUT changed while workers run: FraiseQL's own limit, which has the same variable, follows."""

from __future__ import annotations

from pathlib import Path

from tests.support.fraiseql_host import TIMEOUT, UNLIMITED, Host, within
from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql

THREE_SECONDS = "{ report(seconds: 3) { users } }"
OVERRIDES = "FRAISEQL_GUARD_OVERRIDES_FILE"


def test_a_raised_timeout_reaches_fraiseql_s_own_limit(tmp_path: Path) -> None:
    """Both begin with a second. Were FraiseQL's to stay, PostgreSQL would stop what the guard lets run."""
    overrides = tmp_path / "overrides.yml"
    overrides.write_text("settings: []\n")
    with Server(FRAISEQL, tmp_path, {**UNLIMITED, TIMEOUT: "1", OVERRIDES: str(overrides)}) as server:
        host = Host(server)
        try:
            assert host.ask(THREE_SECONDS).status_code == 504
            overrides.write_text(f'settings:\n  - variable: {TIMEOUT}\n    value: "20"\n')
            assert within(30, lambda: bool(host.lines("guard.overridden")))
            answer = host.ask(THREE_SECONDS)
            assert (answer.status_code, "errors" in answer.json()) == (200, False)
        finally:
            host.close()
