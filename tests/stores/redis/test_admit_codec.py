"""An admit request on the wire says exactly what its arguments say, whatever of it was packed before."""

from __future__ import annotations

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, network_bucket
from fraiseql_guard.stores.redis.admit_codec import admit_arguments, admit_call
from fraiseql_guard.stores.redis.namespace import Namespace

SHA = "0123456789abcdef" * 2 + "01234567"
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
limits = st.builds(Limit, st.integers(1, 10**9), st.integers(1, 86_400))
charges = st.lists(
    st.builds(
        Charge, names, limits, st.integers(0, 10**6), st.integers(-100, 10**6),
        bucket=st.sampled_from(["", "tier", network_bucket("default", "2001:db8::/48")]), fixed=st.booleans(),
        own=st.booleans(),
    ),
    max_size=4,
).map(tuple)  # fmt: skip
escalations = st.none() | st.builds(
    Escalation, st.sampled_from(PolicyName), st.integers(1, 100), st.integers(1, 3600), st.integers(1, 3600),
    st.booleans(),
)  # fmt: skip
subjects = st.builds(
    Subject, st.sampled_from(["user", "address", "login", "key"]), names, st.sampled_from(["", "2001:db8::/48"])
)
requests = st.builds(
    AdmitRequest, subjects, charges, escalations, escalations, st.sampled_from([1, 3]),
    st.frozensets(st.sampled_from(PolicyName)), st.sampled_from([0, 0, 7]), st.booleans(), st.none(),
    st.none() | subjects,
)  # fmt: skip


@given(st.lists(requests, min_size=1, max_size=3), st.sampled_from(["fg", "shop-prod"]))
def test_the_wire_says_what_the_arguments_say(some, name):
    namespace = Namespace(name)
    for request in some:
        call = admit_call(request, SHA, namespace)
        two = (namespace.override_of(request.limit_subject),) if request.limit_subject and request.charges else ()
        assert call.command() == ("EVALSHA", SHA, 1 + len(two), call.key, *two, *admit_arguments(request))
        assert call.packed == hiredis.pack_command(call.command())
        assert call.key.startswith(f"{name}:{{{request.subject.tag}}}:")
