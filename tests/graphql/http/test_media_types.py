"""Whatever stands in a header, a preference is found in it, and in bounded time."""

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.http.media_types import answer_type, preference, read_media_type

PIECES = st.sampled_from([
    "application/json", "application/*", "*/*", "text/html", ";q=0", ";q=1", ";q=0.5", ";q=", ";q=2", ";q=0.5;q=1", ",",
    " ", ";", '"', "\\", "=", '"a,b"', ';x="y;z"', "q=0",
])  # fmt: skip


@given(st.lists(PIECES, max_size=20).map("".join) | st.text(max_size=60))
def test_any_header_is_read(text):
    read_media_type(text)
    assert 0 <= preference(text, "application/json").weight <= 1
    assert answer_type(text) in ("application/json", "application/graphql-response+json")


WEIGHTS = st.sampled_from([0.0, 0.001, 0.5, 1.0])
RANGES = st.dictionaries(st.sampled_from(["application/json", "application/*", "*/*", "text/html", "text/*"]), WEIGHTS)


@given(RANGES, st.randoms(use_true_random=False))
def test_the_most_specific_range_counts_wherever_it_stands(ranges, rng):
    shown = [f"{name};q={weight:g}" for name, weight in ranges.items()]
    rng.shuffle(shown)
    expected = next((ranges[name] for name in ("text/html", "text/*", "*/*") if name in ranges), 0.0)
    assert preference(", ".join(shown), "text/html").weight == (expected if ranges else 1.0)


def test_the_first_media_type_of_a_content_type_is_all_of_it():
    found = read_media_type('Text/HTML; Charset="a\\"b";; x=1')
    assert found is not None
    assert (found.name, found.parameters) == ("text/html", [("charset", 'a"b'), ("x", "1")])
    assert read_media_type("text/html, text/plain") is None
