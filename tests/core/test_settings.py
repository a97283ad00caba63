import ast
import ipaddress
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fraiseql_guard.core import parsing
from fraiseql_guard.core import settings as module
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import VARIABLES, Mode, Settings
from fraiseql_guard.core.signals import PolicyName, Protection
from fraiseql_guard.core.token_buckets import Burst, Limit, Rate
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS
from fraiseql_guard.testing import ManualClock

PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEARBXmKrkLs//xpuhV7RYcct5qYKI4xP7EGlwlmYtZQ+g=\n-----END PUBLIC KEY-----"
)
KEY = "a-secret-of-at-least-thirty-two-bytes"
ROWS = {row.name: row for row in VARIABLES}
SECRETS = {name: row for name, row in ROWS.items() if row.form.secret}

NONSENSE = ["\x07", "no such thing", "-1", "1e999", "two, words here", "\u202e", "/\x00", "🦊=1", "\udcff", "x" * 500]
"""No variable accepts all of these; what one does not accept it must explain."""


def problem(environ=None, **options):
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ or {}, **options)
    return str(caught.value)


def explanation(environ=None, **options):
    """What is wrong with these settings; empty if nothing."""
    try:
        Settings.load(environ or {}, **options)
    except SettingsError as error:
        return str(error)
    return ""


def example(row):
    """The example, but of secrets not the command that makes one."""
    if "public key" in row.form.accepts:
        return PUBLIC_KEY
    return re.sub(r"\$\(.*\)", KEY, row.form.example)


# --- every variable --------------------------------------------------------------------------------------------------


def test_names_and_options_are_unique():
    assert len(ROWS) == len(VARIABLES) == len({row.option for row in VARIABLES})
    assert all(row.name.startswith("FRAISEQL_") for row in VARIABLES)
    assert {row.option for row in VARIABLES} <= {field.name for field in fields(Settings)}


@pytest.mark.parametrize("row", VARIABLES, ids=ROWS)
def test_the_default_and_the_example_are_accepted(row):
    if row.default is not None:
        row.read(row.default, row.name)
        assert getattr(Settings.load({}), row.option) == row.read(row.default, row.name)
    else:
        assert getattr(Settings.load({}), row.option) is None
    assert row.doc.endswith(".")
    row.read(example(row), row.name)


@pytest.mark.parametrize("row", VARIABLES, ids=ROWS)
def test_a_value_from_the_environment_or_an_argument_is_the_same(row):
    given_value = example(row)
    by_variable, by_option = (
        Settings.load({row.name: f" {given_value} "}),
        Settings.load({}, **{row.option: given_value}),
    )
    assert by_variable == by_option
    assert by_variable.sources[row.option] == "environment"
    assert by_option.sources[row.option] == "argument"


@pytest.mark.parametrize("row", VARIABLES, ids=ROWS)
def test_a_bad_value_is_explained(row):
    origins = [(row.name, value, explanation({row.name: value})) for value in NONSENSE]
    origins += [(row.option, value, explanation(**{row.option: value})) for value in NONSENSE]
    refused = [entry for entry in origins if entry[2]]
    assert len(refused) >= 2
    for origin, value, text in refused:
        shown = "(secret)" if row.form.secret else repr(value)[:100]
        assert text.startswith(f"{origin}={shown}")
        assert f"Accepted: {row.form.accepts}" in text
        assert f"for example {row.name}={row.form.example}" in text


@pytest.mark.parametrize("row", VARIABLES, ids=ROWS)
@pytest.mark.parametrize(
    "value",
    [b"", b"bytes", 10**400, -1, 1.5, float("nan"), object(), [], {}, {1: 2}, [None], True, {"a": object()}, ["\0"]],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_an_argument_of_any_type_is_accepted_or_explained(row, value):
    text = explanation(**{row.option: value})
    assert not text or row.option in text


@hypothesis_settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ROWS)), st.text(max_size=30), max_size=5))
def test_any_environment_is_accepted_or_explained(environ):
    for line in explanation(environ).splitlines():
        assert line.startswith(tuple(environ))


@pytest.mark.parametrize("row", VARIABLES, ids=ROWS)
@pytest.mark.parametrize("empty", ["", "  ", "\t"])
def test_an_empty_variable_counts_as_unset(row, empty):
    assert Settings.load({row.name: empty}) == Settings.load({})
    assert Settings.load({row.name: empty}).sources[row.option] == "default"


def test_an_argument_of_none_counts_as_not_given():
    assert Settings.load({"FRAISEQL_MAX_QUERY_DEPTH": "7"}, max_query_depth=None).max_query_depth == 7


def test_an_argument_comes_before_the_environment_and_that_before_the_default():
    environ = {"FRAISEQL_MAX_QUERY_DEPTH": "7"}
    assert Settings.load({}).max_query_depth == 10
    assert Settings.load(environ).max_query_depth == 7
    assert Settings.load(environ, max_query_depth=5).max_query_depth == 5
    assert Settings.load({"FRAISEQL_MAX_QUERY_DEPTH": "bad"}, max_query_depth=5).max_query_depth == 5


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("FRAISEQL_MAX_QUERY_DEPTH", "4")
    assert Settings.load().max_query_depth == 4


def test_all_problems_are_told_together():
    text = problem(
        {"FRAISEQL_MAX_QUERY_DEPTH": "deep", "FRAISEQL_GUARD_MODE": "perhaps"}, batching="maybe", colour="red"
    )
    assert len(text.splitlines()) == 4
    for name in ("FRAISEQL_MAX_QUERY_DEPTH='deep'", "FRAISEQL_GUARD_MODE='perhaps'", "batching='maybe'", "colour"):
        assert name in text


def test_an_unknown_option_is_refused_with_the_nearest():
    assert "did you mean max_query_depth?" in problem(max_query_depht=5)
    assert "did you mean rate_limit_default?" in problem(rate_limit="5/minute")
    assert "did you mean rate_limit_default?" in problem(FRAISEQL_RATE_LIMIT_DEFAULT="5/minute")
    assert "did you mean mode?" in problem(FRAISEQL_GUARD_MODE="monitor")
    assert problem(zzz=1).startswith("zzz is not an option. An option is a variable without its FRAISEQL_")
    assert "hunter2" not in problem(jwt_secrett="hunter2")


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings.load({}).mode = "monitor"


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_never_shown(row):
    for text in ("hunter2", "hunter2\0", "http://hunter2"):
        assert "hunter2" not in problem({row.name: text})
        assert "hunter2" not in problem({}, **{row.option: text})
        assert "hunter2" not in problem({}, **{row.option: Secret(text)})
    loaded = Settings.load({row.name: example(row)})
    assert example(row) not in repr(loaded)
    assert isinstance(getattr(loaded, row.option), Secret)


@pytest.mark.parametrize("row", SECRETS.values(), ids=SECRETS)
def test_a_secret_from_a_file(row, tmp_path):
    path = tmp_path / "secret"
    path.write_text(example(row) + "\n")
    loaded = Settings.load({row.name + "_FILE": str(path)})
    assert getattr(loaded, row.option).reveal() == example(row)
    assert loaded.sources[row.option] == "file"
    assert Settings.load({row.name + "_FILE": "  "}) == Settings.load({})
    assert f"{row.name} and {row.name}_FILE are both set" in problem(
        {row.name: example(row), row.name + "_FILE": str(path)}
    )
    assert Settings.load({row.name + "_FILE": "/nowhere"}, **{row.option: example(row)}).sources[row.option] == (
        "argument"
    )


@pytest.mark.parametrize("row", SECRETS.values(), ids=SECRETS)
def test_a_file_keeps_its_last_good_secret(row, tmp_path):
    path = tmp_path / "secret"
    path.write_text(example(row))
    clock = ManualClock()
    secret = getattr(Settings.load({row.name + "_FILE": str(path)}).by(clock), row.option)
    path.write_text("hunter2")
    clock.advance(LOOK_AGAIN_SECONDS)
    assert secret.reveal() == example(row)


@pytest.mark.parametrize("row", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("content", [None, b"", b"\xff", b"hunter2"], ids=str)
def test_an_unusable_file_is_explained(row, content, tmp_path):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    text = problem({row.name + "_FILE": str(path)})
    assert text.startswith(f"{row.name}_FILE=")
    assert "Accepted: " in text
    assert "for example" in text
    assert "hunter2" not in text


def test_only_secrets_are_read_from_files(tmp_path):
    path = tmp_path / "depth"
    path.write_text("5")
    assert Settings.load({"FRAISEQL_MAX_QUERY_DEPTH_FILE": str(path)}).max_query_depth == 10
    assert module.warnings({"FRAISEQL_MAX_QUERY_DEPTH_FILE": str(path)})


def test_a_key_has_32_bytes_not_characters():
    assert Settings.load({}, jwt_secret="é" * 16).authenticates
    assert "shorter than 32 bytes" in problem(jwt_secret="x" * 31)
    assert "shorter than 32 bytes" in problem({"FRAISEQL_JWT_SECRET": "x" * 31 + " "})


@pytest.mark.parametrize("option", ["jwt_secret", "jwt_secret_old", "jwt_secret_new"])
def test_any_key_turns_authentication_on(option):
    assert not Settings.load({}).authenticates
    assert Settings.load({}, **{option: KEY}).authenticates


# --- variables that are not read --------------------------------------------------------------------------------------


def test_a_misspelt_variable_is_warned_about():
    assert module.warnings({"FRAISEQL_RATE_LIMIT_DEFUALT": "1/minute"}) == [
        "FRAISEQL_RATE_LIMIT_DEFUALT is set and nothing reads it; did you mean FRAISEQL_RATE_LIMIT_DEFAULT?"
    ]
    assert module.warnings({"FRAISEQL_XYZZY": "1"}) == ["FRAISEQL_XYZZY is set and nothing reads it"]
    assert "hunter2" not in str(module.warnings({"FRAISEQL_JWT_SECRETT": "hunter2"}))


def test_known_and_foreign_variables_are_not():
    environ = dict.fromkeys((*ROWS, *(name + "_FILE" for name in SECRETS), "FRAISEQL_DATABASE_URL", "PATH"), "x")
    assert module.warnings(environ) == []


# --- forms -----------------------------------------------------------------------------------------------------------


def option(name, value):
    return getattr(Settings.load({}, **{name: value}), name)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/minute", Limit(100, 60)),
        ("100 / Minutes", Limit(100, 60)),
        ("5/s", Limit(5, 1)),
        ("5/second", Limit(5, 1)),
        ("10/30s", Limit(10, 30)),
        ("10/15min", Limit(10, 900)),
        ("1/day", Limit(1, 86400)),
        ("1/2days", Limit(1, 172_800)),
        ("3/week", Limit(3, 604_800)),
        ("3/4 w", Limit(3, 2_419_200)),
        ("3/2419200s", Limit(3, 2_419_200)),
        (Limit(7, 9), Limit(7, 9)),
    ],
)
def test_rates(text, limit):
    assert option("rate_limit_default", text) == Rate((limit,))
    assert option("socket_messages", text) == limit
    if isinstance(text, str):
        assert option("rate_limit_default", str(limit)) == Rate((limit,))


@pytest.mark.parametrize(
    "text",
    [
        "100", "100/", "/minute", "0/minute", "-1/minute", "1.5/minute", "1/0s", "1/29days", "1/2419201s", "1/5w",
        "1/fortnight", "1e3/s", 5, "100/minute,", "+100/minute", "100/minute++5/hour", "100/minute;5/hour",
        "100/minute,5/60s", ",".join(f"5/{window}s" for window in range(1, 10)),
    ],
)  # fmt: skip
def test_bad_rates(text):
    assert "rate limit" in problem(rate_limit_default=text)


@pytest.mark.parametrize("text", ["100/minute,5/hour", "100/minute+5/hour"])
def test_a_rate_of_one_window(text):
    assert "rate limit" in problem(socket_messages=text)


@pytest.mark.parametrize(
    "text", ["100/minute, 1000/hour,5000/2weeks", "1000/hour+100/minute + 5000/2w", "5000/1209600s+1000/h,100/min"]
)
def test_rates_of_several_windows(text):
    rate = option("rate_limit_default", text)
    assert rate.limits == (Limit(100, 60), Limit(1000, 3600), Limit(5000, 1_209_600))
    assert str(rate) == "100/minute+1000/hour+5000/1209600s"


limits = st.builds(Limit, st.integers(1, 10**9 - 1), st.integers(1, 2_419_200))


@given(st.lists(limits, min_size=1, max_size=8, unique_by=lambda limit: limit.window_seconds), st.sampled_from("+,"))
def test_a_rate_is_read_as_it_is_written(windows, joint):
    rate = Rate(tuple(windows))
    assert parsing.rate(str(rate)) == rate
    assert parsing.rate(f" {joint} ".join(map(str, windows))) == rate


@given(st.text("0123456789/,+ smhdwinutey", max_size=40))
def test_any_text_is_a_rate_or_is_refused(text):
    try:
        rate = parsing.rate(text)
    except ValueError:
        return
    assert parsing.rate(str(rate)) == rate


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("TRUE", True), ("on", True), ("1", True), (1, True), ("no", False), ("0", False), ("Off", False)],
)
def test_switches(value, expected):
    assert option("batching", value) is expected


@pytest.mark.parametrize("value", ["١٢", "1_000", "0x10", "1.0", 1.0, True, "9" * 30, " x"])
def test_bad_numbers(value):
    assert "whole number" in problem(max_query_depth=value)


@pytest.mark.parametrize("value", [0, -1, "nan", "inf", "1e400", 10**400, 86_401, True, "ten"])
def test_bad_seconds(value):
    assert "number of seconds" in problem(query_timeout=value)


@pytest.mark.parametrize(
    ("value", "rate", "held"),
    [
        (None, "100/minute", 120),
        (None, "5/minute", 6),
        (None, "1/day", 1),
        ("20", "5/minute", 25),
        (20, "1/day", 21),
        ("0", "100/minute", 100),
        ("0%", "100/minute", 100),
        (" 50 % ", "3/minute", 4),
        ("1000%", "5/second", 55),
        (Burst(percent=20), "100/minute", 120),
    ],
)
def test_bursts(value, rate, held):
    settings = Settings.load({}, rate_limit_default=rate, rate_limit_burst=value)
    limit, burst = settings.rate_limit_default.shortest, settings.rate_limit_burst
    assert limit.tokens + burst.of(limit) == held
    assert option("rate_limit_burst", str(burst)) == burst


@pytest.mark.parametrize("value", ["%", "20%%", "-1%", "-1", "2.5%", "1001%", "twenty", 20.0, True, "٢٠%"])
def test_bad_bursts(value):
    assert "FRAISEQL_RATE_LIMIT_BURST=20%" in problem(rate_limit_burst=value)


@pytest.mark.parametrize("name", ["fg", "shop-prod", "a.b_C-9", "x" * 64])
def test_namespaces(name):
    assert option("namespace", name) == name


@pytest.mark.parametrize("name", ["fg:prod", "fg*", "{fg}", "fg prod", "-fg", "x" * 65, "fé", "fg\n"[:3] + "\t"])
def test_bad_namespaces(name):
    assert "FRAISEQL_GUARD_NAMESPACE=fg-prod" in problem(namespace=name)


def test_lists():
    assert option("public_operations", " login, ,register ") == ("login", "register")
    assert option("public_operations", ["login", "register"]) == ("login", "register")
    assert option("graphql_paths", "/graphql/,/") == ("/graphql", "/")
    assert option("tiers", {"free": "5/minute"}) == option("tiers", "free=5/minute") == {"free": Rate.of(5, 60)}
    assert option("field_costs", {"User.posts": 10}) == option("field_costs", "User.posts=10") == {"User.posts": 10}


def test_networks():
    ten = ipaddress.ip_network("10.0.0.0/8")
    assert option("allow_list", "10.1.2.3/8") == (ten,)
    assert option("allow_list", ten) == (ten,)
    assert option("allow_list", [ten, "192.0.2.7"]) == (ten, ipaddress.ip_network("192.0.2.7/32"))
    assert option("allow_list", "::ffff:10.0.0.0/104") == (ten,)
    assert option("allow_list", "::ffff:192.0.2.7") == (ipaddress.ip_network("192.0.2.7"),)
    for bad in ("10.0.0.0/33", "10.0.0", "fe80::1%eth0", "localhost", 10):
        assert "neither an address nor a network" in problem(allow_list=bad if isinstance(bad, str) else [bad])


def test_trusted_proxies():
    assert option("trusted_proxies", "unix,10.0.0.0/8") == ("unix", ipaddress.ip_network("10.0.0.0/8"))
    assert option("trusted_proxies", ipaddress.ip_network("10.0.0.0/8")) == (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize("everything", ["0.0.0.0/0", "::/0", "10.0.0.1/0", "::ffff:0:0/96"])
def test_trusting_everything_is_said_twice(everything):
    assert "name this network twice" in problem(trusted_proxies=everything)
    assert len(option("trusted_proxies", f"{everything},{everything}")) == 2


@pytest.mark.parametrize("bad", ["none", "RSA1_5", "HS256,none", "hs256", "ES256K", "Ed448", ","])
def test_only_signature_algorithms(bad):
    assert "is not a list of signature algorithms" in problem(jwt_algorithms=bad)


@pytest.mark.parametrize(
    "bad",
    [
        "http://id.example.org/jwks.json", "id.example.org", "ftp://id.example.org/", "https://", "file:///etc/passwd",
        "https://user:hunter2@id.example.org/", "http://127.0.0.1.example.org/", "http://localhost.example.org/",
        "https://id.example.org/#keys", "http://[::2]/",
    ],
)  # fmt: skip
def test_keys_are_fetched_by_https_or_from_this_machine(bad):
    text = problem(jwks_url=bad)
    assert "for example FRAISEQL_GUARD_JWKS_URL=" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "good", ["https://id.example.org/keys?v=1", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/"]
)
def test_addresses_of_keys(good):
    assert Settings.load({}, jwks_url=good).jwks_url == good


def test_a_public_key_may_have_its_lines_escaped_and_must_not_be_private():
    escaped = PUBLIC_KEY.replace("\n", "\\n")
    assert Settings.load({}, jwt_public_key=escaped).jwt_public_key.reveal() == PUBLIC_KEY
    text = problem(jwt_public_key=PUBLIC_KEY.replace("PUBLIC", "PRIVATE"))
    assert "openssl pkey -in private.pem -pubout" in text
    assert "FRAISEQL_GUARD_JWT_PUBLIC_KEY=" in text


# --- what is derived -------------------------------------------------------------------------------------------------


def test_modes():
    loaded = Settings.load({}, mode="monitor", mode_auth="enforce")
    assert loaded.mode_of(Protection.AUTH) is Mode.ENFORCE
    assert loaded.mode_of(Protection.RATE_LIMIT) is Mode.MONITOR


def test_escalations_have_the_numbers_of_the_contract():
    loaded = Settings.load({})
    found = {
        policy: (escalation.offences, escalation.window_seconds, escalation.sanction_seconds)
        for policy in (PolicyName.RATE_LIMIT_ABUSE, PolicyName.BRUTE_FORCE, PolicyName.DOS)
        for escalation in [loaded.escalation(policy)]
    }
    assert found == {
        PolicyName.RATE_LIMIT_ABUSE: (50, 300, 300),
        PolicyName.BRUTE_FORCE: (15, 300, 300),
        PolicyName.DOS: (10, 60, 300),
    }
    assert not Settings.load({}, mode_auth="monitor").escalation(PolicyName.BRUTE_FORCE).enforced


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, "deny"),
        ({"environment": "development"}, "allow"),
        ({"environment": "production"}, "deny"),
        ({"environment": "development", "introspection": "deny"}, "deny"),
        ({"introspection": "authenticated"}, "authenticated"),
    ],
)
def test_introspection_depends_on_the_environment(options, policy):
    assert Settings.load({}, **options).introspection_policy == policy


def test_a_variables_name_stands_in_the_table_and_nowhere_else_in_the_code():
    package = Path(module.__file__).parents[1]
    for file in package.rglob("*.py"):
        if file.name in ("settings.py", "variables.py", "fraiseql_variables.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                assert "FRAISEQL_" not in node.value, f"{file.name}:{node.lineno}: use settings.name_of"
