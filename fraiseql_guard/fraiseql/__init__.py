"""Support for FraiseQL 1.x hosts. FraiseQL is no dependency of the guard: importing this package needs it."""

from fraiseql_guard.core.extras import Extra, lacking

# Before the modules below, which import FraiseQL: raise an ImportError that says what to install.
if (_sentence := lacking(Extra.FRAISEQL, __name__)) is not None:
    raise ImportError(_sentence)

from fraiseql_guard.fraiseql.protect import protect
from fraiseql_guard.fraiseql.subscription.mount import subscriptions

__all__ = ["protect", "subscriptions"]
