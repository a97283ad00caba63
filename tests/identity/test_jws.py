import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.identity.jws import MAX_TOKEN_BYTES, read_jws, read_object
from tests.identity.by_hand import CLAIMS, encode, sign, sign_segments

ALGORITHMS = ("HS256",)


def test_the_parts_of_an_honest_token():
    token = sign(CLAIMS, header={"alg": "HS256", "typ": "JWT", "kid": "k" * 256, "new-parameter": 1})
    jws = read_jws(token, ALGORITHMS)
    assert jws.algorithm == "HS256"
    assert jws.header["kid"] == "k" * 256
    assert json.loads(jws.payload) == CLAIMS
    assert jws.signing_input.decode() + "." + encode(jws.signature) == token


HEADERS = {
    "no alg": {"typ": "JWT"},
    "alg is a list": {"alg": ["HS256"]},
    "alg is null": {"alg": None},
    "alg is a number": {"alg": 256},
    "alg not allowed": {"alg": "HS512"},
    "alg of another family": {"alg": "RS256"},
    **{f"alg {none}": {"alg": none} for none in ("none", "None", "NONE", "nOnE", "none ", "")},
    **{f"alg {spelling}": {"alg": spelling} for spelling in ("hs256", "HS256 ", "HS256\0", "\uff28\uff33256")},
    "crit": {"alg": "HS256", "crit": ["exp"], "exp": 1},
    "empty crit": {"alg": "HS256", "crit": []},
    "jku": {"alg": "HS256", "jku": "https://attacker.example/keys"},
    "x5u": {"alg": "HS256", "x5u": "https://attacker.example/cert"},
    "jwk": {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}},
    "b64": {"alg": "HS256", "b64": True},
    "b64 false": {"alg": "HS256", "b64": False, "crit": ["b64"]},
    "long kid": {"alg": "HS256", "kid": "k" * 257},
    "kid is a number": {"alg": "HS256", "kid": 1},
    "kid is null": {"alg": "HS256", "kid": None},
    **{
        f"{name} is {value!r}": {"alg": "HS256", name: value} for name in ("typ", "cty") for value in (1, None, ["JWT"])
    },
    "list": ["alg", "HS256"],
    "text": "HS256",
    "null": None,
    "empty": b"",
    "not json": b"alg=HS256",
    "single quotes": b"{'alg':'HS256'}",
    "two objects": b'{"alg":"HS256"}{}',
    "duplicate alg": b'{"alg":"HS256","alg":"HS256"}',
    "duplicate alg, escaped": b'{"alg":"none","\\u0061lg":"HS256"}',
    "duplicate inside": b'{"alg":"HS256","x":{"a":1,"a":2}}',
    "NaN": b'{"alg":"HS256","x":NaN}',
    "infinity": b'{"alg":"HS256","x":Infinity}',
    "too large a number": b'{"alg":"HS256","x":1e999}',
    "lone surrogate": b'{"alg":"HS256","x":"\\ud800"}',
    "raw surrogate": b'{"alg":"HS256","x":"\xed\xa0\x80"}',
    "overlong UTF-8": b'{"alg":"HS256","x":"\xc0\xae"}',
    "byte order mark": b'\xef\xbb\xbf{"alg":"HS256"}',
    "UTF-16": '{"alg":"HS256"}'.encode("utf-16"),
    "UTF-16-LE": '{"alg":"HS256"}'.encode("utf-16-le"),
    "UTF-32": '{"alg":"HS256"}'.encode("utf-32"),
    "Latin-1": '{"alg":"HS256","x":"é"}'.encode("latin-1"),
    "raw NUL": b'{"alg":"HS256","x":"\0"}',
    "trailing NUL": b'{"alg":"HS256"}\0',
    "deep": b'{"alg":"HS256","x":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "rather deep": b'{"alg":"HS256","x":' + b"[" * 20 + b"]" * 20 + b"}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_bad_headers_are_refused_although_the_signature_is_right(header):
    if header is None:
        header = b"null"
    assert read_jws(sign(CLAIMS, header=header), ALGORITHMS) is None


HEAD, BODY = encode(b'{"alg":"HS256"}'), encode(b'{"sub":"u1"}')
SHAPES = {
    "nothing": "",
    "dots": "..",
    "one segment": HEAD,
    "two segments": f"{HEAD}.{BODY}",
    "four segments": sign(CLAIMS) + ".AAAA",
    "five segments, as JWE": sign(CLAIMS) + ".AAAA.AAAA",
    "trailing dot": sign(CLAIMS) + ".",
    "leading dot": "." + sign(CLAIMS),
    "no header": sign_segments("", BODY),
    "no signature": f"{HEAD}.{BODY}.",
    "padded header": sign_segments(HEAD + "=", BODY),
    "padded payload": sign_segments(HEAD, encode(b"{}") + "=="),
    "padded signature": sign(CLAIMS) + "=",
    "percent-encoded padding": sign(CLAIMS) + "%3D",
    "standard alphabet": sign_segments(HEAD, "+/+/"),
    "not base64": sign_segments("!!!!", "????"),
    "one character too many": sign_segments(HEAD, BODY + "A") if len(BODY) % 4 == 0 else sign_segments(HEAD, "AAAAA"),
    "stray bits in the payload": sign_segments(HEAD, "AB"),
    "stray bits in the signature": sign(CLAIMS)[:-1] + "B",
    "space inside": sign_segments(HEAD, BODY[:4] + " " + BODY[4:]),
    "newline inside": sign_segments(HEAD, BODY[:4] + "\n" + BODY[4:]),
    "newline at the end": sign(CLAIMS) + "\n",
    "NUL": sign(CLAIMS) + "\0",
    "NUL inside": sign_segments(HEAD, "\0\0\0\0"),
    "surrogate": sign(CLAIMS) + "\ud800",
    "surrogates alone": "\ud800.\udfff.\ud800",
    "full-width letters": "\uff45\uff59\uff2a.\uff45\uff59\uff2a.\uff21\uff21",
    "Latin-1": sign(CLAIMS) + "é",
    "JSON serialization": '{"payload":"e30","signatures":[]}',
    "oversized": sign({**CLAIMS, "x": "x" * MAX_TOKEN_BYTES}),
}


@pytest.mark.parametrize("token", SHAPES.values(), ids=SHAPES)
def test_other_shapes_are_refused(token):
    assert read_jws(token, ALGORITHMS) is None


def test_the_largest_token_is_read():
    room = MAX_TOKEN_BYTES - len(sign_segments(HEAD, ""))
    assert read_jws(sign_segments(HEAD, "A" * (room // 4 * 4)), ALGORITHMS)


def test_nesting_counts_levels_and_not_brackets():
    assert read_object(json.dumps({"roles": [{"name": str(n)} for n in range(100)]}).encode())
    assert read_object(b'{"x":' + b"[" * 19 + b"]" * 19 + b"}")
    assert read_object(b'{"x":' + b"[" * 20 + b"]" * 20 + b"}") is None
    assert read_object(b'{"x":"' + b"[" * 100 + b'"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet=st.characters(codec="utf-8")),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(alphabet=st.characters(codec="utf-8"), max_size=5), JSON, max_size=5))
def test_every_plain_object_is_read_as_it_is(value):
    assert read_object(json.dumps(value).encode()) == value


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_object_or_none(text):
    assert read_object(text) is None or isinstance(json.loads(text), dict)


@settings(deadline=None)
@given(st.text(max_size=300), st.text(alphabet="eyJhbGciOiJIUzI1NiJ9.-_=", max_size=300))
def test_any_text_is_read_without_an_error(text, near):
    for token in (text, near, f"{HEAD}.{text}.{near}"):
        jws = read_jws(token, ALGORITHMS)
        assert jws is None or jws.signature
