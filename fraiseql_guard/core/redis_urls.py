"""Reads Redis URLs strictly, and refuses one that another client would take for another server.

No error repeats a part of the URL, since any part of it may be a part of the password.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal
from urllib.parse import unquote

Kind = Literal["standalone", "sentinel", "cluster"]

ACCEPTED: Final = (
    "redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, unix:///path/redis.sock, "
    "redis+sentinel://[user:password@]host[:port],.../master_name[/database] or "
    "redis+cluster://[user:password@]host[:port],..."
)
_SCHEMES: Final = re.compile(r"(?P<tls>redis|rediss)(?:\+(?P<kind>sentinel|cluster))?://|(?P<unix>unix)://")
_PARTS: Final = re.compile(
    r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?", re.DOTALL
)
_KINDS: Final[Mapping[str | None, Kind]] = {None: "standalone", "sentinel": "sentinel", "cluster": "cluster"}
_HOST: Final = re.compile(r"[\w.~-]+")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MOST_DATABASES: Final = 2**31 - 1
_ENCODE: Final = "in a user or a password write / as %2F, # as %23, ? as %3F, @ as %40 and % as %25"

_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})
_OPTIONS: Final = frozenset({"db", "username", "password"}) | _TLS_OPTIONS
_OF_OTHER_CLIENTS: Final = frozenset(
    """
    client_name decode_responses encoding encoding_errors health_check_interval max_connections protocol
    retry_on_error retry_on_timeout single_connection_client socket_connect_timeout socket_keepalive socket_read_size
    socket_timeout timeout
    """.split()
)
"""Options that tune redis-py. A URL may be shared with it, and none of these says which server is meant."""
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL, decoded. ``places`` are hosts with the port that stands there, if one does; ``path`` is that
    of a unix socket. The user is empty without a password."""

    kind: Kind
    path: str | None
    places: tuple[tuple[str, int | None], ...]
    user: str = field(repr=False)
    password: str = field(repr=False)
    sentinel_user: str = field(repr=False)
    sentinel_password: str = field(repr=False)
    database: int
    master: str = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Read a URL; ValueError, whose text completes "NAME=(secret) ...", if it is none or names files in vain."""
        scheme, parts = _split(url)
        # Which servers, and how to reach them.
        kind = _KINDS[scheme["kind"]]
        encrypted = scheme["tls"] == "rediss"
        # There is one @ at most: _split has refused others.
        userinfo, _, hosts = parts["authority"].rpartition("@")
        is_socket = scheme["unix"] is not None
        path = _socket_path(hosts, parts["path"]) if is_socket else None
        places = () if is_socket else _places(hosts, several=kind != "standalone")
        # What to say there: the options may hold what the URL's own places hold as well.
        options = _options(parts["query"] or "", kind, encrypted=encrypted)
        user, password = _user(userinfo, options)
        master, database = _target(kind, "" if is_socket else parts["path"], options)
        return cls(
            kind=kind,
            path=path,
            places=places,
            user=user,
            password=password,
            sentinel_user=options.get("sentinel_username", ""),
            sentinel_password=options.get("sentinel_password", ""),
            database=database,
            master=master,
            tls=_tls(options) if encrypted else None,
        )


def _split(url: str) -> tuple[re.Match[str], re.Match[str]]:
    """The scheme, and the parts behind it; ValueError for raw characters that would hide the host."""
    scheme = _SCHEMES.match(url)
    if scheme is None:
        raise ValueError("does not begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    parts = _PARTS.fullmatch(url, scheme.end())
    if parts is None or parts["fragment"] is not None:
        raise ValueError(f"holds a raw #: {_ENCODE}")
    # Another client would look for the host behind another @, and send the password there.
    if "@" in parts["path"] or parts["authority"].count("@") > 1:
        raise ValueError(f"holds a raw / or @ in front of the host: {_ENCODE}")
    return scheme, parts


def _decoded(text: str) -> str:
    """Without percent-encoding; ValueError if that is broken."""
    # unquote() leaves broken escapes as they are; other clients may not.
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"holds a % that two hexadecimal digits do not follow: {_ENCODE}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("holds percent-encoded bytes that are not UTF-8") from None


def _user(userinfo: str, options: Mapping[str, str]) -> tuple[str, str]:
    name, _, password = userinfo.partition(":")
    user, secret = _decoded(name) or options.get("username", ""), _decoded(password) or options.get("password", "")
    if user and not secret:
        raise ValueError("has a user without a password; for a password alone write :password@host")
    return user, secret


def _places(text: str, *, several: bool) -> tuple[tuple[str, int | None], ...]:
    parts = text.split(",")
    if len(parts) > 1 and not several:
        raise ValueError("names several servers, which takes redis+sentinel:// or redis+cluster://")
    return tuple(_place(part) for part in parts)


def _place(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, number = _in_brackets(text)
    elif text.count(":") > 1:
        raise ValueError(f"has an IPv6 address without brackets, as in [::1]:6379, or a raw character: {_ENCODE}")
    else:
        host, _, number = text.partition(":")
        host = _decoded(host)
        if not host:
            raise ValueError(f"has no host, or one that a raw / or ? hides: {_ENCODE}")
        if not _HOST.fullmatch(host):
            raise ValueError("has a host that is neither a name nor an address")
    return host.lower(), _port(number)


def _in_brackets(text: str) -> tuple[str, str]:
    """The address in brackets, and the port behind them."""
    host, bracket, rest = text[1:].partition("]")
    if not bracket or rest[:1] not in ("", ":"):
        raise ValueError("has an IPv6 address without its closing bracket, as in [::1]:6379")
    return _ipv6(_decoded(host)), rest[1:]


def _ipv6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError("has something in brackets that is no IPv6 address") from None


def _port(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= 65_535:
        raise ValueError(f"has a port that is no whole number from 1 to 65535, or a raw / or ?: {_ENCODE}")
    return int(text)


def _socket_path(host: str, path: str) -> str:
    decoded = _decoded(path)
    if host or not decoded.strip("/"):
        raise ValueError("has no absolute path of a socket behind unix://, as in unix:///run/redis.sock")
    return decoded


def _target(kind: Kind, path: str, options: Mapping[str, str]) -> tuple[str, int]:
    """The name of the master, for Sentinels alone, and the number of the database."""
    first, slash, second = path.removeprefix("/").removesuffix("/").partition("/")
    if kind == "sentinel":
        if not first or "/" in second:
            raise ValueError("does not name the master behind the Sentinels: /master_name or /master_name/database")
        return _decoded(first), _database(second, options)
    # Slashes alone name nothing, however many.
    if slash and path.strip("/"):
        raise ValueError("has more behind its host than the number of a database")
    database = _database(first, options)
    if kind == "cluster" and database:
        raise ValueError("names a database of a Redis cluster other than 0, the only one there is")
    return "", database


def _database(text: str, options: Mapping[str, str]) -> int:
    # A set, since equal numbers are no contradiction: tools often write both.
    numbers = {_number(each) for each in (_decoded(text), options.get("db", "")) if each}
    if len(numbers) > 1:
        raise ValueError("names two databases: in its path and as the option db")
    return next(iter(numbers), 0)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or int(text) > _MOST_DATABASES:
        raise ValueError("has a database that is no whole number of at least 0, as in /0")
    return int(text)


def _options(query: str, kind: Kind, *, encrypted: bool) -> dict[str, str]:
    """The options behind ``?``, those of other clients left out."""
    known = _OPTIONS | (_SENTINEL_OPTIONS if kind == "sentinel" else frozenset())
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name in _OF_OTHER_CLIENTS:
            continue
        if name not in known:
            raise ValueError(_unknown_option(name, known, query))
        if not value or name in found:
            raise ValueError(f"gives the option {name} no value, or two")
        # + is a blank in a query, and only there.
        found[name] = _decoded(value.replace("+", " "))
    _refuse_contradictions(found, encrypted=encrypted)
    return found


def _refuse_contradictions(options: Mapping[str, str], *, encrypted: bool) -> None:
    for name in options:
        if name in _TLS_OPTIONS and not encrypted:
            raise ValueError(f"has the TLS option {name}, and redis:// is not encrypted; write rediss://")
    if "sentinel_username" in options and "sentinel_password" not in options:
        raise ValueError("gives the Sentinels a user without a password (sentinel_password)")


def _unknown_option(name: str, known: frozenset[str], query: str) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}? All" if near else "all"
    raw = f" (or a raw ?: {_ENCODE})" if "@" in query else ""
    return f"has an unknown option behind its ?{raw}; {hint} options: {', '.join(sorted(known))}"


def _tls(options: Mapping[str, str]) -> ssl.SSLContext:
    """The certificates that the URL names, loaded."""
    verify = options.get("ssl_cert_reqs", "required").lower()
    if verify not in ("required", "optional", "none"):
        raise ValueError("has an ssl_cert_reqs that is neither required nor none")
    check = options.get("ssl_check_hostname", "true").lower()
    if check not in _YES | _NO:
        raise ValueError("has an ssl_check_hostname that is neither true nor false")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("has an ssl_keyfile without the ssl_certfile that it belongs to")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    except OSError as error:
        raise ValueError(f"names ssl_ca_certs that cannot be used: {_cause(error)}") from None
    # "none" turns both checks off, as in redis-py.
    context.check_hostname = verify != "none" and check in _YES
    context.verify_mode = ssl.CERT_NONE if verify == "none" else ssl.CERT_REQUIRED
    _load_own(context, options.get("ssl_certfile"), options.get("ssl_keyfile"))
    return context


def _load_own(context: ssl.SSLContext, certificate: str | None, key: str | None) -> None:
    """Load the client's own certificate, if one is named."""
    if certificate is None:
        return
    try:
        # A key that is encrypted would ask at the terminal: it is answered with nothing instead.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ValueError(f"names ssl_certfile and ssl_keyfile that cannot be used: {_cause(error)}") from None


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "they hold no PEM that fits"
    return error.strerror or type(error).__name__
