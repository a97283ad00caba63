"""``fraiseql-guard token``: prints a signed token, for development."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fraiseql_guard.cli.errors import exit_on_error
from fraiseql_guard.cli.render import print_command
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.testing import sign

_DEVELOPMENT: Final = "development"


def token(
    sub: Annotated[str, typer.Option(help="The user of the token (sub).")],
    expires_in: Annotated[
        float | None, typer.Option(help="Seconds until it expires; negative for one that has.", show_default=False)
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A further claim; JSON, or else text. Repeatable.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help=f"File with a private key (PEM or JWK); else {name_of('jwt_secret')}.", show_default=False),
    ] = None,
    algorithm: Annotated[str | None, typer.Option(help="Another algorithm that the key can make.")] = None,
    kid: Annotated[str | None, typer.Option(help="Name of the key, for the token's header.")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help='A refresh token: of its longer lifetime, with the claim type "refresh".')
    ] = False,
    outside_development: Annotated[
        bool,
        typer.Option("--outside-development", help=f"Sign although {name_of('environment')} is not {_DEVELOPMENT}."),
    ] = False,
) -> None:
    """Print a token (JWT) as an issuer would sign it, with the configured issuer, audience and lifetime.

    For development: this makes a token of any user.
    """
    with exit_on_error():
        settings = Settings.load()
        if not outside_development:
            _check_environment(settings)
        lifetime = settings.refresh_token_lifetime_seconds if refresh else settings.token_lifetime_seconds
        # Claims of the command line may replace the configured issuer and audience, to try out refusals.
        claims = {**_configured_claims(settings, refresh=refresh), **dict(map(_claim, claim or ()))}
        # Whole seconds, which every verifier reads.
        now = int(time.time())
        times = {"iat": now, "exp": now + (lifetime if expires_in is None else expires_in)}
        # The claims come last, so that --claim may also replace sub and exp.
        print_command(sign({"sub": sub, **times, **claims}, _key_text(key, settings), algorithm=algorithm, kid=kid))


def _check_environment(settings: Settings) -> None:
    """ValueError unless the settings say that this is development."""
    if settings.environment != _DEVELOPMENT:
        raise ValueError(
            f"{name_of('environment')}={settings.environment or ''} is not {_DEVELOPMENT}, and a token made here "
            f"is as good as a real one. Set {name_of('environment')}={_DEVELOPMENT}, or give --outside-development"
        )


def _configured_claims(settings: Settings, *, refresh: bool) -> Mapping[str, str]:
    """The issuer and audience that the settings ask for, and the type of a refresh token."""
    claims = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience, "type": "refresh" if refresh else None}
    return {name: value for name, value in claims.items() if value is not None}


def _key_text(file: Path | None, settings: Settings) -> str:
    """The text of the key to sign with: of the file, else the configured secret. ValueError without either."""
    if file is not None:
        text = file.read_text(encoding="utf-8").strip()
        if not text.startswith(("-----BEGIN", "{")):
            raise ValueError(f"--key={file} is no private key. Accepted: a file in PEM, or a JWK")
        return text
    if settings.jwt_secret is None:
        raise ValueError(f"which key? Set {name_of('jwt_secret')}, or give --key private.pem")
    return settings.jwt_secret.reveal()


def _claim(given: str) -> tuple[str, Any]:
    """A value of --claim: its name, and its value as JSON, or else as text."""
    name, separator, text = given.partition("=")
    if not separator or not name:
        raise ValueError(f"--claim={given} is no NAME=VALUE. Accepted: for example --claim tier=pro")
    try:
        # Numbers, lists and null are JSON; any other value is text.
        return name, json.loads(text)
    except ValueError:
        return name, text
