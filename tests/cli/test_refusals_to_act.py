"""What cannot be done is said in one line that names the remedy, changes nothing, and ends with the right exit code."""

import pytest

from fraiseql_guard.core.settings import name_of
from tests.cli.fleet import TOKEN, Operator

pytestmark = pytest.mark.redis

NOWHERE = "127.0.0.1:1"


def refused(ran, code=2):
    """The one line on standard error."""
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1), ran
    return ran.err.strip()


COMMANDS = [
    ["status"], ["top", "--once"], ["blocks"], ["why"], ["why", "abc"], ["keys"], ["actions"], ["block", "203.0.113.9"],
    ["unblock", "203.0.113.9"], ["lift", "--all"], ["lift", "203.0.113.9"], ["unlock", "ada"], ["limit", "list"],
    ["limit", "set", "1/minute", "--user", "ada"], ["limit", "clear", "--user", "ada"], ["allow", "list"],
    ["allow", "add", "203.0.113.9"], ["allow", "remove", "203.0.113.9"], ["mode"], ["mode", "monitor"],
    ["mode", "clear"], ["set"], ["set", "max_query_depth", "5"], ["set", "--clear", "max_query_depth"], ["gc"],
    ["clear-caches"], ["config", "--fleet"], ["sockets"], ["sockets", "close", "--all"], ["sockets", "drain"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_redis_and_url_both_are_named(words):
    line = refused(Operator({})(*words))
    assert name_of("redis_url") in line
    assert "--url" in line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_redis_that_does_not_answer_is_said_so(words):
    line = refused(Operator({name_of("redis_url"): f"redis://:hidden@{NOWHERE}/0"})(*words))
    assert "does not answer" in line
    assert name_of("redis_url") in line
    assert "hidden" not in line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_url_without_a_server_is_said_so(words):
    line = refused(Operator({name_of("admin_token"): TOKEN}, ("--url", f"https://{NOWHERE}/admin"))(*words))
    assert f"https://{NOWHERE}/admin cannot be reached" in line
    assert TOKEN not in line


def test_a_url_needs_a_token_from_the_environment():
    line = refused(Operator({}, ("--url", "https://api.example.org/admin"))("status"))
    assert name_of("admin_token") in line


def test_a_token_that_is_sent_in_the_clear_is_warned_about():
    ran = Operator({name_of("admin_token"): TOKEN}, ("--url", "http://0.0.0.0:1/admin"))("status")
    assert "is not encrypted" in ran.err
    assert TOKEN not in ran.err


def test_a_wrong_token_is_refused_and_not_shown(fleet):
    wrong = "wrong-" + TOKEN
    line = refused(Operator({name_of("admin_token"): wrong}, ("--url", fleet.url))("blocks"))
    assert name_of("admin_token") in line
    assert wrong not in line


def test_a_path_where_the_api_is_not_is_said_so(fleet):
    line = refused(Operator({name_of("admin_token"): TOKEN}, ("--url", fleet.workers[0].url))("blocks"))
    assert "is not the guard's API" in line


@pytest.mark.parametrize(
    "url", ["api.example.org/admin", "ftp://a/admin", "https://", "https://u:p@h/admin", "h ttps:/", ""]
)
def test_a_url_that_is_none_is_said_so(url):
    assert "--url" in refused(Operator({name_of("admin_token"): TOKEN}, ("--url", url))("status"))


BAD = [
    (["block"], "whom?"),
    (["block", "ada"], "fraiseql-guard block --user ada"),
    (["block", "it's"], """fraiseql-guard block --user 'it'"'"'s'"""),
    (["block", "203.0.113.9", "--user", "ada"], "one thing at a time"),
    (["block", "203.0.113.9", "--operation", "Heavy"], "one thing at a time"),
    (["block", "203.0.113.9", "--issuer", "x"], "belong to a user"),
    (["block", "203.0.113.999"], "neither an address nor a network"),
    (["block", "203.0.113.9", "--for", "15"], "--for '15' is no duration. Accepted: 90s, 15m"),
    (["block", "203.0.113.9", "--for", "366d"], "up to 365d"),
    (["block", "--document", "abc"], "SHA-256"),
    (["block", "--operation", "a b"], "not the name of an operation"),
    (["block", "--user", ""], "empty"),
    (["block", "--user", "a\nb"], "printable"),
    (["lift"], "whose?"),
    (["lift", "--all", "203.0.113.9"], "whose?"),
    (["lift", "--origin", "any", "203.0.113.9"], "--origin goes with --all"),
    (["lift", "--all", "--origin", "me"], "automatic, operator or any"),
    (["unlock", "ada", "--at", "here"], "neither an address nor a network"),
    (["limit", "set", "many", "--user", "ada"], "is not a rate limit"),
    (["limit", "set", "5/minute"], "whom?"),
    (["limit", "set", "5/minute", "203.0.113.0/24"], "holds many callers"),
    (["allow", "add", "everyone"], "neither an address nor a network"),
    (["allow", "add", "0.0.0.0/0"], "would allow every address"),
    (["mode", "off"], "enforce, monitor or clear"),
    (["mode", "monitor", "--protection", "everything"], "Accepted: all, rate_limit"),
    (["set", "max_query_depht", "5"], "did you mean FRAISEQL_MAX_QUERY_DEPTH?"),
    (["set", "max_query_depth"], "what value?"),
    (["set", "max_query_depth", "deep"], "is not a whole number"),
    (["set", "--clear", "nothing"], "is no variable"),
    (["set", "max_query_depth", "5", "--clear", "max_aliases"], "one thing at a time"),
]


@pytest.mark.parametrize(("words", "problem"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_what_cannot_be_is_refused_with_what_can(on_redis, words, problem):
    assert problem in refused(on_redis(*words))


def test_a_secret_cannot_be_set_by_a_switch_and_is_not_shown(on_redis):
    secret = "a-secret-that-nobody-should-see-0123456789"
    line = refused(on_redis("set", "jwt_secret", secret))
    assert secret not in line


DANGEROUS = [
    ("127.0.0.1", "loopback"),
    ("203.0.0.0/8", "wider than /16"),
    ("2001::/16", "wider than /32"),
    ("10.9.8.7", "trusted proxy"),
    ("198.51.100.250", "your own address"),
]


@pytest.mark.parametrize(("address", "danger"), DANGEROUS)
def test_what_is_dangerous_needs_force_and_says_why(fleet, address, danger):
    environment = {name_of("redis_url"): fleet.redis.url, name_of("trusted_proxies"): "10.0.0.0/8"}
    careless = Operator({**environment, "SSH_CONNECTION": "198.51.100.250 50000 192.0.2.1 22"})
    line = refused(careless("block", address, "--for", "1m"), 3)
    assert danger in line
    assert "Nothing was changed" in line
    assert line.endswith("--force")
    assert address not in careless("blocks").out
    if not address.startswith("127"):  # the others would lose their way in
        assert careless("block", address, "--for", "1m", "--force").code == 0
        assert careless("unblock", address).code == 0


def test_what_is_dangerous_is_so_through_the_api_as_well(by_http):
    assert "--force" in refused(by_http("block", "203.0.0.0/8"), 3)


def test_what_is_not_found_is_a_negative_answer(operator):
    assert "is remembered" in refused(operator("why", "00000000-0000-4000-8000-000000000000"), 1)


def test_a_settings_error_of_this_environment_is_told(fleet):
    line = refused(Operator({name_of("redis_url"): fleet.redis.url, name_of("max_aliases"): "few"})("blocks"))
    assert name_of("max_aliases") in line
