"""The app's functions that a guard calls, in one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from fraiseql_guard.core.notices import OnRefusal, OnSanction
from fraiseql_guard.core.refusal_facts import RenderRefusal
from fraiseql_guard.core.variables import SettingsError

if TYPE_CHECKING:
    from fraiseql_guard.identity.api_key_questions import AskApiKey
    from fraiseql_guard.identity.limit_keys import AskLimitKey
    from fraiseql_guard.identity.user_status import AskUserStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AppHooks:
    """The functions that the app has given to :class:`~fraiseql_guard.asgi.middleware.Middleware`; None for each that
    it has not given."""

    user_status: AskUserStatus | None = None
    """Says whether a verified user is still active."""
    api_keys: AskApiKey | None = None
    """Returns the ApiKey for the SHA-256 of a key; None for an unknown key."""
    rate_limit_key: AskLimitKey | None = None
    """Returns the key that limits count a request by."""

    render_refusal: RenderRefusal | None = None
    """Returns the body of a refusal."""

    on_refusal: OnRefusal | None = None
    """Is called with a notice of each refusal."""
    on_sanction: OnSanction | None = None
    """Is called with a notice of each sanction."""

    def __post_init__(self) -> None:
        """SettingsError for a function that cannot be used."""
        for name in ("on_refusal", "on_sanction"):
            hook = getattr(self, name)
            plain = inspect.isroutine(hook) and not inspect.iscoroutinefunction(hook)
            if hook is not None and (plain or not callable(hook)):
                raise SettingsError(
                    f"{name}={hook!r} is no asynchronous function: what it waits for would hold up all requests. "
                    f"Accepted: async def {name}(notice): ..."
                )
        if self.render_refusal is not None and (
            not callable(self.render_refusal) or inspect.iscoroutinefunction(self.render_refusal)
        ):
            raise SettingsError(
                f"render_refusal={self.render_refusal!r} is no plain function: it answers at once, for a caller who is "
                "refused. Accepted: def render_refusal(refusal): ..."
            )

    def joined(self, inner: AppHooks, either: Callable[[str, Any, Any], Any]) -> AppHooks:
        """These functions joined with those of the middleware directly inside. ``either`` is given the name and both
        functions, and returns the one to use."""
        names = [each.name for each in fields(self)]
        return AppHooks(**{name: either(name, getattr(self, name), getattr(inner, name)) for name in names})
