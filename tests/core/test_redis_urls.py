"""A Redis URL says one thing to every reader, or the start stops and says what is wrong without showing any of it."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.stores.redis.client.deployment import Deployment
from tests.support.certificate import Certificate

VARIABLE = "FRAISEQL_REDIS_URL"
MARKS = "§¶¤žŋđ"
"""Characters that none of our sentences holds: wherever they appear, a part of the password does."""
PASSWORDS = st.lists(st.sampled_from([*MARKS, *"/#?@%:[]&=+,~ 0", "%2", "%zz", "%FF", "//", "db="]), min_size=1).map(
    lambda parts: MARKS[0] + "".join(parts) + MARKS[1]
)
FORMS = (
    "redis://:{}@h:6379/0",
    "rediss://ada:{}@h",
    "unix://:{}@/run/redis.sock",
    "redis+sentinel://:{}@one,two:1/limits",
    "redis+sentinel://one/limits?sentinel_password={}",
    "redis+cluster://ada:{}@one,two",
    "redis://h?password={}",
    "redis://{}@h",
    "redis://{}",
    "{}",
)


def load(url: str) -> Deployment:
    settings = Settings.load({VARIABLE: url})
    assert settings.redis_url is not None
    return Deployment.parse(settings.redis_url.reveal())


def refusal(url: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(url)
    return str(caught.value)


def secrets_of(deployment: Deployment) -> set[str]:
    servers = (*deployment.seeds, deployment.server)
    return {str(command[-1]) for each in servers for command in each.greeting if command[0] == "AUTH"}


@given(password=PASSWORDS, form=st.sampled_from(FORMS))
def test_no_error_shows_any_part_of_a_password(password: str, form: str) -> None:
    try:
        load(form.format(password))
    except SettingsError as error:
        shown = "".join(traceback.format_exception(error))
        assert f"{VARIABLE}=(secret)" in shown
        assert "Accepted: redis://" in shown
        assert not set(MARKS) & set(shown)


@given(password=PASSWORDS, form=st.sampled_from([form for form in FORMS if "{}@" in form][:-1]))
def test_what_is_percent_encoded_is_the_password(password: str, form: str) -> None:
    form = form.replace("redis://{}@", "redis://:{}@")
    assert secrets_of(load(form.format(quote(password, safe="")))) == {password}


@given(password=PASSWORDS, form=st.sampled_from([form for form in FORMS if ":{}@" in form]))
def test_a_raw_password_is_read_whole_or_not_at_all(password: str, form: str) -> None:
    """Never is a part of it sent, nor another server asked."""
    try:
        deployment = load(form.format(password))
    except SettingsError:
        return
    assert quote("".join(secrets_of(deployment))) == quote(password.replace("%2F", "/"))
    assert {seed.host for seed in deployment.seeds} <= {"h", "one", "two", "localhost"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:pw@h:port/0", "port"),
        ("redis://:pw@h:-1", "port"),
        ("redis://:pw@h:0", "port"),
        ("redis://:pw@h:65536", "port"),
        ("redis://:pw@h:99999999999", "port"),
        ("redis://:pw@h:٣", "port"),
        ("redis://:pw@h/limits", "database"),
        ("redis://:pw@h/-1", "database"),
        ("redis://:pw@h/99999999999", "database"),
        ("redis://:pw@h?db=one", "database"),
        ("redis://:pw@h/1?db=2", "two databases"),
        ("redis://:pw@h/0/1", "more behind its host"),
        ("redis://:p/w@h", "%2F"),
        ("redis://:p#w@h", "%23"),
        ("redis://:p?w@h", "%3F"),
        ("redis://ada:1?w@h", "%3F"),
        ("redis://:p@w@h", "%40"),
        ("redis://:p%w@h", "%25"),
        ("redis://:%FF@h", "UTF-8"),
        ("redis://pw@h", "without a password"),
        ("redis://:pw@", "no host"),
        ("redis://:pw@:6379", "no host"),
        ("redis:///0", "no host"),
        ("redis://:pw@h,i", "several servers"),
        ("redis://:pw@::1", "brackets"),
        ("redis://:pw@[::1", "bracket"),
        ("redis://:pw@[h]:6379", "IPv6"),
        ("redis://:pw@a b", "neither a name nor an address"),
        ("redis://:pw@h?ssl_ca_certs=/x", "not encrypted"),
        ("redis://:pw@h?sentinel_password=x", "unknown option"),
        ("rediss://:pw@h?ssl_ca_cert=/x", "did you mean ssl_ca_certs"),
        ("rediss://:pw@h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://:pw@h?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("rediss://:pw@h?ssl_keyfile=/x", "ssl_certfile"),
        ("rediss://:pw@h?ssl_ca_certs=", "no value"),
        ("redis://:pw@h?db=1&db=1", "or two"),
        ("rediss://:pw@h?ssl_ca_certs=/nowhere/ca.pem", "No such file"),
        ("rediss://:pw@h?ssl_ca_certs=/proc/version", "no PEM"),
        ("rediss://:pw@h?ssl_certfile=/nowhere/cert.pem", "No such file"),
        ("unix://run/redis.sock", "unix:///run/redis.sock"),
        ("unix://:pw@/", "unix:///run/redis.sock"),
        ("redis+sentinel://:pw@one", "master"),
        ("redis+sentinel://:pw@one//0", "master"),
        ("redis+sentinel://:pw@one/limits/a", "database"),
        ("redis+sentinel://:pw@one/limits?sentinel_username=u", "sentinel_password"),
        ("redis+cluster://:pw@one/1", "database"),
        ("redis+cluster://:pw@one?db=1", "database"),
        ("http://:pw@one", "does not begin"),
        ("redis:h", "does not begin"),
    ],
)
def test_each_flaw_is_named(url: str, words: str) -> None:
    message = refusal(url)
    assert message.startswith(f"{VARIABLE}=(secret) ")
    assert words in message
    assert "Accepted: redis://[user:password@]host" in message


@pytest.mark.parametrize(
    ("url", "place", "greeting"),
    [
        ("redis://h", "h:6379", ()),
        ("redis://H.example:6380/2", "h.example:6380", (("SELECT", 2),)),
        ("redis://:@h:/", "h:6379", ()),
        ("redis://my_redis?db=3&socket_timeout=1", "my_redis:6379", (("SELECT", 3),)),
        ("redis://ada:a%3Ab@[::1]:7000", "::1:7000", (("AUTH", "ada", "a:b"),)),
        ("redis://[fe80::1%25eth0]", "fe80::1%eth0:6379", ()),
        ("redis://:a:b c@h", "h:6379", (("AUTH", "a:b c"),)),
        ("redis://h?username=ada&password=pw", "h:6379", (("AUTH", "ada", "pw"),)),
        ("unix:///run/my%20redis.sock?db=1", "/run/my redis.sock", (("SELECT", 1),)),
    ],
)
def test_every_form_of_one_server(url: str, place: str, greeting: object) -> None:
    server = load(url).server
    assert (str(server), server.greeting) == (place, greeting)


def test_the_files_that_a_url_names_are_read_at_once(tmp_path: Path) -> None:
    made = Certificate.make(tmp_path)
    assert load(f"rediss://h?ssl_ca_certs={made.file}&ssl_certfile={made.file}&ssl_keyfile={made.key}").server.tls
    other = Certificate.make(tmp_path)  # another key beside the first certificate
    (tmp_path / "old.pem").write_text(made.file.read_text())
    again = Certificate.make(tmp_path)
    assert "no PEM that fits" in refusal(f"rediss://h?ssl_certfile={tmp_path}/old.pem&ssl_keyfile={again.key}")
    assert other.file == made.file


def test_a_url_in_a_file_names_the_variable_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:pw@h:port\n")
    with pytest.raises(SettingsError, match=r"^FRAISEQL_REDIS_URL_FILE=\(secret\) has a port"):
        Settings.load({f"{VARIABLE}_FILE": str(tmp_path / "url")})
