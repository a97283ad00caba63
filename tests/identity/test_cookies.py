"""One cookie out of a Cookie header: every form that clients send, and nothing that takes long to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.identity.cookies import MAX_COOKIE_BYTES, cookie_values


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ([b"t=a"], ["a"]),
        ([b"x=1; t=a; y=2"], ["a"]),
        ([b"x=1;t=a;y=2"], ["a"]),
        ([b" t = a "], ["a"]),
        ([b't="a"'], ["a"]),
        ([b't="Bearer a"'], ["Bearer a"]),
        ([b't="'], ['"']),
        ([b"t=a=b=="], ["a=b=="]),
        ([b"t=a; t=b"], ["a", "b"]),
        ([b"t=a", b"t=b"], ["a", "b"]),
        ([b"T=a; tt=b; xt=c; t"], []),
        ([b"t=; t=\"\"; t=' '"], ["' '"]),
        ([b"x=t=a"], []),
        ([b""], []),
        ([], []),
    ],
)
def test_what_a_cookie_holds(lines, values) -> None:
    assert cookie_values(lines, b"t") == values


def test_a_long_header_is_read_up_to_a_bound_and_then_not_at_all() -> None:
    filling = b"x=" + b"y" * 10_240
    assert cookie_values([filling + b"; t=a"], b"t") == ["a"]
    longest = b"x" * (MAX_COOKIE_BYTES - 5) + b"; t=a"
    assert cookie_values([longest], b"t") == ["a"]
    assert cookie_values([b"x" + longest], b"t") == []
    assert cookie_values([filling, filling + b"; t=a"], b"t") == []


PLAIN = st.text("abcxyz.-_=/+", max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["t", "__Host-t", "T", "x", ""]), PLAIN), max_size=8))
def test_what_was_written_is_read(pairs) -> None:
    line = "; ".join(f"{name}={value}" for name, value in pairs).encode()
    for name in ("t", "__Host-t"):
        wanted = [value for each, value in pairs if each == name and value]
        assert cookie_values([line], name.encode()) == wanted


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_read_without_an_error(lines) -> None:
    for value in cookie_values(lines, b"t"):
        assert value
        assert ";" not in value
