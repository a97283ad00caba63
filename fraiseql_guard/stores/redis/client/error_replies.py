"""Maps an error reply of Redis, whose first word is its code, to a failure of the store."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final

from fraiseql_guard.stores.protocol import StoreError

_REFUSED: Final[Set[str]] = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"})
_REFUSED_TEXTS: Final = re.compile("max number of clients reached|invalid password|Client sent AUTH|unauthenticated")
_SERVER: Final[Set[str]] = frozenset(
    "BUSY LOADING READONLY OOM NOREPLICAS MASTERDOWN MISCONF CLUSTERDOWN MOVED ASK UNKILLABLE".split()
)
_MOVED: Final[Set[str]] = frozenset({"READONLY", "MASTERDOWN"})
# Errors without a code of their own inside a script.
_CLUSTER_DOWN: Final = "while the cluster is down"
_SLOT_IS_MOVED: Final = re.compile("TRYAGAIN|access a non local key")
_INSIDE_A_SCRIPT: Final = re.compile(r"-([A-Z]+) ")  # 6.2: "ERR Error running script (...): @user_script:1: -OOM ..."


def reply_error(text: str) -> tuple[StoreError, bool]:
    """The StoreError for an error reply, and whether another server may have taken over as master."""
    code = text.partition(" ")[0]
    # The error of a command inside a script has its code further on in the text.
    if code == "ERR" and (inside := _INSIDE_A_SCRIPT.search(text)):
        code = inside[1]
    if code in _REFUSED or _REFUSED_TEXTS.search(text):
        return StoreError("refused", text), False
    if _SLOT_IS_MOVED.search(text):  # only the callers of one slot of 16,384 must wait
        return StoreError("server", text, opens_breaker=False), False
    if code in _SERVER or _CLUSTER_DOWN in text:
        return StoreError("server", text), code in _MOVED
    return StoreError("script", text, opens_breaker=False), False
