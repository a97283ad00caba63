"""Users that the app no longer knows, or has disabled: asked with every request, told apart, never punished."""

import asyncio

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware, SettingsError
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request

REASONS = "fraiseql_auth_failures_total"


class Users:
    """An app's table of users."""

    def __init__(self, **status):
        self.status, self.asked, self.seconds, self.error = status, [], 0.0, None

    async def __call__(self, identity):
        self.asked.append(identity)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.status.get(identity.user_id, "not_found")


@pytest.fixture
def users():
    return Users(alice="active", carol=None, mallory="disabled")


@pytest.fixture
def guard(guarded, secret, users):
    return guarded(jwt_secret=secret, user_status=users)


@pytest.mark.parametrize(
    ("user", "status", "reason"),
    [
        ("alice", 200, None),
        ("carol", 200, None),
        ("mallory", 401, "user_disabled"),
        ("nobody", 401, "user_not_found"),
    ],
)
async def test_the_app_says_who_may_go_on(guard, secret, user, status, reason) -> None:
    token = make_token(secret, sub=user)
    replies = [await graphql(guard, "{me{id}}", token=token) for _ in range(3)]
    assert [reply.status for reply in replies] == [status] * 3
    assert guard.metric("fraiseql_auth_success_total") == (3 if reason is None else 0)
    if reason is not None:
        assert guard.metric(REASONS, failure_reason=reason, user_id=user) == 3
        assert replies[0].header("www-authenticate") == 'Bearer error="invalid_token"'
        assert reason not in replies[0].body.decode()
        line = guard.lines("security.auth_failure")[0]["context"]
        assert (line["failure_reason"], line["user_id"]) == (reason, user)


async def test_a_remembered_token_is_asked_about_again(guard, secret, users) -> None:
    token = make_token(secret, sub="alice")
    assert (await graphql(guard, "{me{id}}", token=token)).status == 200
    users.status["alice"] = "disabled"
    assert (await graphql(guard, "{me{id}}", token=token)).status == 401
    assert len(users.asked) == 2
    assert users.asked[0].claims["sub"] == "alice"


async def test_only_users_of_genuine_tokens_are_asked_about(guard, secret, users) -> None:
    await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub="alice"))
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice", expires_in_seconds=-5))
    await graphql(guard, "{me{id}}")
    assert users.asked == []


async def test_its_answer_may_be_remembered_for_a_while(guarded, secret, users) -> None:
    guard = guarded(jwt_secret=secret, user_status=users, user_status_memory_seconds=60)
    for _ in range(5):
        assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))).status == 200
        assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="mallory"))).status == 401
    assert len(users.asked) == 2
    other_issuer = make_token(secret, sub="alice", iss="elsewhere")
    await graphql(guard, "{me{id}}", token=other_issuer)
    assert len(users.asked) == 3


@pytest.mark.parametrize("how", ["error", "slow", "nonsense", "not async"])
async def test_an_app_that_does_not_answer_is_503_and_nobodys_failure(guarded, secret, users, how) -> None:
    ask = (lambda identity: "active") if how == "not async" else users
    users.error = RuntimeError("the database is away") if how == "error" else None
    users.seconds = 60 if how == "slow" else 0
    users.status["alice"] = "perhaps" if how == "nonsense" else "active"
    guard = guarded(jwt_secret=secret, user_status=ask, user_status_timeout_ms=20)
    token = make_token(secret, sub="alice")
    for _ in range(20):
        reply = await graphql(guard, "{me{id}}", token=token)
        assert (reply.status, reply.code, reply.header("retry-after")) == (503, "USER_STATUS_UNAVAILABLE", "1")
        assert "database" not in reply.body.decode()
    assert guard.metric(REASONS) == guard.metric("fraiseql_guard_sanctions_total") == 0
    assert guard.metric("fraiseql_guard_faults_total", part="user_status") == 20
    assert guard.metric("fraiseql_auth_success_total") == 20  # the token was good
    assert guard.app.bodies == []


async def test_users_who_are_gone_are_never_punished(guard, secret) -> None:
    for number in range(40):
        await graphql(guard, "{me{id}}", token=make_token(secret, sub=f"gone-{number}"))
    assert guard.metric("fraiseql_guard_sanctions_total") == 0
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice"))).status == 200


async def test_in_monitor_mode_it_is_only_counted(guarded, secret, users) -> None:
    guard = guarded(jwt_secret=secret, user_status=users, mode="monitor")
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="mallory"))).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="UNAUTHENTICATED") == 1
    assert guard.metric(REASONS) == 0


async def test_where_no_token_is_needed_they_are_anonymous(guard, secret, users) -> None:
    for user, known in (("mallory", False), ("alice", True)):
        assert (await request(guard, "GET", "/page", token=make_token(secret, sub=user))).status == 200
        assert guard.app.scopes[-1]["user"].is_authenticated is known
    users.error = RuntimeError()
    assert (await request(guard, "GET", "/page", token=make_token(secret, sub="alice"))).status == 200
    assert guard.app.scopes[-1]["user"].is_authenticated is False


def test_stacked_middlewares_share_one_hook(users) -> None:
    inner = Guard(EchoApp(), jwt_secret="x" * 32, user_status=users)
    assert RateLimitMiddleware(inner).mount_options.app_hooks.user_status is users
    with pytest.raises(SettingsError, match="user_status"):
        RateLimitMiddleware(Guard(EchoApp(), jwt_secret="x" * 32, user_status=users), user_status=Users())
