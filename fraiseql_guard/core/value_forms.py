"""Forms that values of settings have: how each is parsed, and how messages describe what is accepted."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core import key_forms, network_forms, parsing, redis_urls
from fraiseql_guard.core.redis_urls import RedisUrl
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.variables import ValueForm


def _long_enough(value: object) -> Secret:
    secret = value if isinstance(value, Secret) else Secret(str(value).strip())
    # Bytes, as HMAC counts: 32 of them are as long as the digest of SHA-256 (RFC 7518, 3.2).
    if len(secret.reveal().encode(errors="surrogatepass")) < 32:
        raise ValueError("is shorter than 32 bytes, so it could be guessed")
    return secret


def _actor(value: object) -> str:
    text = str(value).strip()
    if not text.isprintable() or not 0 < len(text) <= 255:
        raise ValueError("is empty, too long or not printable")
    return text


def _admin_tokens(value: object) -> Secret:
    secret = value if isinstance(value, Secret) else Secret(str(value).strip())
    parsing.admin_tokens(secret.reveal())
    return secret


def _public_key(value: object) -> Secret:
    """Handled like a secret, though it is none: it may come in a file, and then changes with the file."""
    # Variables often hold a PEM in one line, with \n written out.
    pem = value if isinstance(value, Secret) else Secret(str(value).strip().replace("\\n", "\n"))
    key_forms.public_key(pem.reveal())
    return pem


def _redis_url(value: object) -> Secret:
    secret = value if isinstance(value, Secret) else Secret(str(value).strip())
    RedisUrl.parse(parsing.text(secret.reveal()))
    return secret


_WINDOWS: Final = "N/second, N/minute, N/hour, N/day, N/week or N/30s"
RATE: Final = ValueForm(parsing.rate, f"{_WINDOWS}, or several of them as 100/minute+1000/hour", "100/minute")
ONE_WINDOW: Final = ValueForm(parsing.one_window, f"one of {_WINDOWS}", "20/second")
SECONDS: Final = ValueForm(parsing.seconds, "seconds, more than 0 and at most 86400", "30")
SWITCH: Final = ValueForm(parsing.boolean, "true or false", "true")
COUNT: Final = ValueForm(parsing.integer(1), "a whole number of at least 1", "10")
COUNT_OR_ZERO: Final = ValueForm(parsing.integer(0), "a whole number of at least 0", "20")
BYTES: Final = ValueForm(parsing.integer(1), "a whole number of bytes", "1048576")
PERCENT: Final = ValueForm(parsing.integer(1, 100), "a whole number from 1 to 100", "95")
MODE: Final = ValueForm(parsing.choice("enforce", "monitor", "off"), "enforce, monitor or off", "monitor")
TEXT: Final = ValueForm(parsing.text, "printable text", "fraiseql")
NETWORKS: Final = ValueForm(network_forms.networks, "a list of addresses and networks", "10.0.0.0/8,192.0.2.7")
PATHS: Final = ValueForm(parsing.paths, "a list of paths that begin with /", "/graphql")
NAMES: Final = ValueForm(parsing.names, "a list of GraphQL names", "login,register")
PUBLIC_KEY: Final = ValueForm(_public_key, "a public key in PEM", "$(cat public.pem)", secret=True)
JWT_SECRET: Final = ValueForm(_long_enough, "32 bytes or more", "$(openssl rand -base64 48)", secret=True)
TOKEN: Final = ValueForm(_long_enough, "32 bytes or more", "$(openssl rand -hex 32)", secret=True)
ADMIN_TOKENS: Final = ValueForm(
    _admin_tokens, "a list of name=token, each token 32 bytes or more", "oncall=$(openssl rand -hex 32)", secret=True
)
REDIS_URL: Final = ValueForm(_redis_url, redis_urls.ACCEPTED, "redis://127.0.0.1:6379/0", secret=True)
ACTOR: Final = ValueForm(_actor, "printable text of at most 255 characters", "alice")
