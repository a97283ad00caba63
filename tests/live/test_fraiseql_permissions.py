"""FraiseQL's own permission decorators and a login mutation, behind the guard: what the operator sees of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from examples.process import PROJECT, parse_samples, sum_of
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql

FAILURES = "fraiseql_auth_failures_total"


def test_what_fraiseql_forbids_and_the_logins_it_reports(tmp_path: Path) -> None:
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FRAISEQL_")},
        "FRAISEQL_ENVIRONMENT": "production",
        "FRAISEQL_GUARD_LOG_FILE": str(tmp_path / "log"),
    }
    command = [sys.executable, "-m", "tests.support.fraiseql_permissions"]
    ended = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-4000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    # The guard's identity is not FraiseQL's user without the integration, so that both are strangers to FraiseQL.
    assert seen["codes"] == ["UNAUTHENTICATED", "UNAUTHENTICATED"]
    assert seen["said"] == ["wrong"] * 5 + ["locked for 1800"]
    samples = parse_samples(seen["exposition"])
    assert sum_of(samples, FAILURES, failure_reason="missing_token", user_id="anonymous") == 1
    assert sum_of(samples, FAILURES, failure_reason="insufficient_permissions", user_id="ada") == 1
    assert sum_of(samples, FAILURES) == 2
    assert sum_of(samples, "fraiseql_account_lockouts_total") == 1
