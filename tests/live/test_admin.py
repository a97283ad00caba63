"""The operator's API on a real server, and on a port of its own: an attacker is blocked, refused, and let in again."""

from pathlib import Path

import httpx
import pytest

from tests.support.processes import STARLETTE, Server
from tests.support.redis_server import RedisServer
from tests.support.waiting import until_now

TOKEN = "the-token-of-alice-is-longer-than-32-bytes"
ATTACKER = {"x-forwarded-for": "203.0.113.9"}
pytestmark = pytest.mark.redis


def felt(server: Server, status: int) -> bool:
    """Whether the attacker is answered so soon; asked so seldom that no rate is ever exceeded."""
    until_now(lambda: server.post("{__typename}", headers=ATTACKER).status_code == status, pause_seconds=0.25)
    return True


def test_an_attacker_is_blocked_over_http(tmp_path: Path) -> None:
    with RedisServer() as redis:
        environment = {
            "FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={TOKEN}",
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
            "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "10000",
        }
        with (
            Server(STARLETTE, tmp_path, environment) as server,
            httpx.Client(
                base_url=f"{server.url}/admin",
                headers={"Authorization": f"Bearer {TOKEN}"},
                trust_env=False,
                timeout=30,
            ) as operator,
        ):
            ordinary = server.post("{__typename}", headers=ATTACKER).status_code
            assert operator.get("/status").json()["store"] == "redis"
            assert httpx.get(f"{server.url}/admin/status", trust_env=False).status_code == 401
            done = operator.post("/blocks", json={"ip_address": "203.0.113.9", "reason": "an attack"})
            assert done.json()["changed"] is True
            assert felt(server, 403)
            assert operator.get("/blocks").json()["items"][0]["actor"] == "alice"
            assert operator.request("DELETE", "/blocks", params={"ip_address": "203.0.113.9"}).json()["affected"] == 1
            assert felt(server, ordinary)
            assert [each["event"] for each in operator.get("/actions").json()["items"]] == ["admin.lift", "admin.block"]
