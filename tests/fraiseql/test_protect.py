"""One call wires a FraiseQL app: what it takes over, what it leaves alone, what it says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.asgi import EchoApp, graphql
from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql


@pytest.fixture(autouse=True)
def _security_logger_put_back():
    from fraiseql.audit import set_security_logger

    yield
    set_security_logger(None)


def log_of(guard, path) -> str:
    guard.recorder.log.flush()
    return path.read_text()


def test_what_is_no_fraiseql_app_is_refused() -> None:
    from fraiseql_guard.fraiseql import protect

    with pytest.raises(TypeError, match="create_fraiseql_app returns, not EchoApp"):
        protect(EchoApp())


def test_an_override_of_the_apps_own_stays_and_is_named(tmp_path) -> None:
    from fastapi import FastAPI
    from fraiseql.fastapi.dependencies import get_current_user_optional, get_db

    from fraiseql_guard.fraiseql import protect

    app = FastAPI()
    app.dependency_overrides[get_db] = EchoApp
    guard = protect(app, log_file=tmp_path / "log")
    assert app.dependency_overrides[get_db] is EchoApp
    assert get_current_user_optional in app.dependency_overrides
    assert "the app overrides get_db itself" in log_of(guard, tmp_path / "log")


async def test_fraiseqls_own_metrics_are_reported_once_at_the_start(tmp_path) -> None:
    from fastapi import FastAPI
    from fraiseql.monitoring.metrics import setup_metrics

    from fraiseql_guard.fraiseql import protect

    app = FastAPI()
    setup_metrics(app)
    guard = protect(app, log_file=tmp_path / "log")
    await graphql(guard, "{a}")
    await graphql(guard, "{a}")
    assert log_of(guard, tmp_path / "log").count("FraiseQL's own metrics are set up as well") == 1


def test_the_pool_of_each_start_is_read(tmp_path, monkeypatch) -> None:
    from fastapi import FastAPI
    from fraiseql.fastapi import dependencies

    from fraiseql_guard.fraiseql import protect

    monkeypatch.setattr(dependencies, "_db_pool", None)
    guard = protect(FastAPI(), log_file=tmp_path / "log")
    assert guard.database.pool() is None
    for most in (5, 7):
        stats = {"pool_max": most, "pool_size": 2, "pool_available": 2}
        dependencies.set_db_pool(SimpleNamespace(get_stats=lambda stats=stats: stats))
        assert guard.database.pool().total == guard.database.size() == most
    assert "guard.fault" not in log_of(guard, tmp_path / "log")
