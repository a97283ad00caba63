"""The page of metrics in the format and the encoding that its reader prefers."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fraiseql_guard.asgi.exposition_page import openmetrics_version, takes_gzip
from tests.support.asgi import LOOPBACK, request

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OLD_OPEN = "application/openmetrics-text; version=0.0.1; charset=utf-8"

ACCEPTED = [
    (None, TEXT),
    ("*/*", TEXT),
    ("text/html,*/*;q=0.8", TEXT),
    ("application/json", TEXT),  # nothing of ours is that; a scraper that sends it is answered all the same
    ("application/openmetrics-text", OPEN),
    ("APPLICATION/OPENMETRICS-TEXT; Version=1.0.0", OPEN),
    ("application/openmetrics-text;version=0.0.1", OLD_OPEN),
    ("application/openmetrics-text;version=2.0.0", TEXT),
    ("application/openmetrics-text;q=0", TEXT),
    ("application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text;version=0.0.1", OLD_OPEN),
    ("application/openmetrics-text;q=0.5,text/plain;q=0.4", OPEN),
    ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
    ("application/openmetrics-text;q=0.5,*/*;q=0.9", TEXT),
    ("text/plain,application/openmetrics-text", OPEN),
    # Prometheus 2.42, 2.54 and 3.0
    (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        OPEN,
    ),
    (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
        "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
        "*/*;q=0.2",
        OPEN,
    ),
    ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
]


@pytest.mark.parametrize(("accept", "answered"), ACCEPTED)
async def test_the_format_is_the_one_that_is_preferred(guarded, accept, answered) -> None:
    guard = guarded()
    headers = {} if accept is None else {"accept": accept}
    reply = await request(guard, "GET", "/metrics", client=LOOPBACK, headers=headers)
    assert (reply.status, reply.header("content-type")) == (200, answered)
    assert reply.body.endswith(b"# EOF\n") == (answered != TEXT)
    if answered != TEXT:
        assert list(text_string_to_metric_families(reply.body.decode()))
    assert reply.header("vary") == "Accept, Accept-Encoding"


ENCODINGS = [
    (None, False),
    ("", False),
    ("gzip", True),
    ("GZIP;Q=0.5", True),
    ("x-gzip", True),
    ("*", True),
    ("deflate, br", False),
    ("gzip;q=0", False),
    ("gzip;q=0.0,*", False),
    ("*;q=0", False),
    ("identity;q=1,gzip;q=0.5", False),
    ("identity;q=0.5,gzip;q=0.5", True),
    ("gzip, identity;q=0", True),
    ("gzip;q=nonsense", False),
]


@pytest.mark.parametrize(("accept_encoding", "packed"), ENCODINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_it_is_compressed_for_those_who_accept_it(guarded, accept_encoding, packed, method) -> None:
    headers = {} if accept_encoding is None else {"accept-encoding": accept_encoding}
    reply = await request(guarded(), method, "/metrics", client=LOOPBACK, headers=headers)
    assert reply.header("content-encoding") == ("gzip" if packed else None)
    if method == "GET":
        assert int(reply.header("content-length")) == len(reply.body)
        text = gzip.decompress(reply.body) if packed else reply.body
        assert b"\nfraiseql_graphql_queries_total 0.0\n" in text


async def test_a_refusal_of_the_page_is_a_refusal_in_every_format(guarded) -> None:
    headers = {"accept": "application/openmetrics-text", "accept-encoding": "gzip"}
    reply = await request(guarded(), "GET", "/metrics", headers=headers)
    assert (reply.status, reply.json["code"]) == (403, "METRICS_FORBIDDEN")


@given(st.text(alphabet='abgzip*/,;=q01. "\\\tx', max_size=80))
def test_no_header_breaks_the_choice(text) -> None:
    assert openmetrics_version(text) is None
    assert takes_gzip(text) in (True, False)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_weights_decide(ours, theirs) -> None:
    accept = f"application/openmetrics-text;q={ours / 1000:.3f}, text/plain;q={theirs / 1000:.3f}"
    assert (openmetrics_version(accept) is not None) == (ours > 0 and ours >= theirs)
    assert takes_gzip(f"gzip;q={ours / 1000:.3f}, identity;q={theirs / 1000:.3f}") == (ours > 0 and ours >= theirs)
