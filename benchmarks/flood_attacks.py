"""What the flood sends: ordinary users, and each attack by its name."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import tests.corpus.loading
from benchmarks.flood_states import sanction_many, sanctioned, write_foreign_entries
from fraiseql_guard.testing import make_token
from tests.corpus.loading import Case, load

USERS = 200
ATTACKERS = 1_000
OPERATOR = "an-admin-token-for-benchmarks-of-32-bytes"
DOCUMENT = "query Posts($n: Int) { posts(limit: $n) { id title author { id name } comments(limit: 3) { id body } } }"
DEEP = "{ posts(limit: 1) " + "{ author { posts(limit: 1) " * 12 + "{ id }" + " } }" * 12 + " }"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send at once, and pieces that follow at a pause each. ``leaves_after``: seconds; 0 for a client that
    waits."""

    data: bytes
    rest: tuple[bytes, ...] = ()
    pause_seconds: float = 0.0
    leaves_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Attack:
    """``requests`` makes what its callers send, without end. ``share``: of the rate of the attack, for those whose
    requests are large or last."""

    requests: Callable[[], Iterator[Request]]
    share: float = 1.0
    short: bool = field(default=True)
    """Whether it is part of the short form."""
    before: Callable[[str, str], None] | None = None
    """What happens in Redis (its URL, the guard's namespace) between calm and attack."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables of the server."""


def http(
    body: bytes, *, address: str, headers: dict[str, str] | None = None, method: str = "POST", target: str = "/graphql"
) -> bytes:
    """A request of one client, as a trusted proxy hands it on."""
    lines = {"host": "api.example.org", "x-forwarded-for": address, "content-type": "application/json"}
    lines |= {"forwarded": f'for="[{address}]"' if ":" in address else f"for={address}"}
    lines |= {"content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def query(text: str, **variables: object) -> bytes:
    """A body."""
    return json.dumps({"query": text, "variables": variables}).encode()


def ordinary(secret: str) -> Iterator[Request]:
    """Users who are signed in, each from an address of its own."""
    tokens = [make_token(secret, sub=f"user-{number}") for number in range(USERS)]
    for number in itertools.count():
        user = number * 7 % USERS
        body = query(DOCUMENT, n=3 + number % 5, unique=number)
        headers = {"authorization": f"Bearer {tokens[user]}"}
        yield Request(http(body, address=f"198.18.0.{user}", headers=headers))


# --- addresses -------------------------------------------------------------------------------------------------------


def one() -> Iterator[str]:
    """The same all the time."""
    return itertools.repeat("203.0.113.9")


def many() -> Iterator[str]:
    """A botnet."""
    return itertools.cycle([f"20.20.{number // 250}.{number % 250 + 1}" for number in range(ATTACKERS)])


def distinct() -> Iterator[str]:
    """Another IPv4 address each time."""
    for number in itertools.count(20 << 24):
        yield ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def distinct_64s() -> Iterator[str]:
    """Another IPv6 network each time."""
    for number in itertools.count():
        yield f"2001:db8:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::1"


def one_64() -> Iterator[str]:
    """Another address of one network each time."""
    chance = random.Random(1)
    while True:
        yield "2001:db8:0:7:" + ":".join(f"{chance.getrandbits(16):x}" for _ in range(4))


# --- attacks ---------------------------------------------------------------------------------------------------------


def sent(
    bodies: Callable[[int], bytes], addresses: Callable[[], Iterator[str]], *, short: bool = True, **headers: str
) -> Attack:
    """Bodies by their number, from addresses."""

    def requests() -> Iterator[Request]:
        for number, address in enumerate(addresses()):
            yield Request(http(bodies(number), address=address, headers=headers))

    return Attack(requests, short=short)


def bad_tokens(addresses: Callable[[], Iterator[str]], *, short: bool = True) -> Attack:
    """Tokens of another issuer, each of another user."""
    made = [make_token("another-secret-of-at-least-thirty-two-bytes", sub=f"guess-{n}") for n in range(500)]

    def requests() -> Iterator[Request]:
        for number, address in enumerate(addresses()):
            headers = {"authorization": f"Bearer {made[number % len(made)]}"}
            yield Request(http(query("{ posts { id } }"), address=address, headers=headers))

    return Attack(requests, short=short)


def long_forwarded() -> Iterator[Request]:
    """A header that is long to read, and names the client at its end. The query costs the app little: the row is about
    the header."""
    for number, address in enumerate(many()):
        headers = {"forwarded": 'for="' + "\\a," * 600 + f'", for={address}'}
        yield Request(http(query("{ __typename }", n=number), address=address, headers=headers))


def half_bodies(*, leaves_after: float, pieces: int = 0, chunked: bool = False) -> Callable[[], Iterator[Request]]:
    """Bodies that do not come to their end."""

    def requests() -> Iterator[Request]:
        for address in one():
            if chunked:
                size = {"transfer-encoding": "chunked"}
                head = http(b"", address=address, headers=size).replace(b"content-length: 0\r\n", b"")
                yield Request(head, (b"1\r\n{\r\n",) * pieces, 0.002, leaves_after)
            else:
                size = {"content-length": str(_MEGABYTE)}
                yield Request(http(b"x" * (_MEGABYTE // 2), address=address, headers=size), leaves_after=leaves_after)

    return requests


def leaving() -> Iterator[Request]:
    """Clients that ask for something slow, and leave."""
    for number, address in enumerate(many()):
        yield Request(http(query("{ slow(seconds: 2) }", n=number), address=address), leaves_after=0.05)


LOOKS = ("/admin/status", "/admin/blocks", "/admin/offenders", "/admin/refusals", "/admin/rate-limits")


def sanctioned_callers() -> Iterator[Request]:
    """Callers who are sanctioned already; each hundredth request is an operator's, who looks at one page in turn."""
    looks = itertools.cycle(LOOKS)
    for number, address in enumerate(sanctioned()):
        if number % 100:
            yield Request(http(query("{ posts { id } }", n=number), address=address))
        else:
            headers = {"authorization": f"Bearer {OPERATOR}"}
            yield Request(http(b"", address="198.51.100.1", headers=headers, method="GET", target=next(looks)))


def corpus(file: Path | None = None) -> Attack:
    """The attacks of one file of the corpus, or of all, in turn, by a botnet. Those that need settings are left out."""

    def requests() -> Iterator[Request]:
        texts = file.read_text(encoding="utf-8") if file is not None else None
        cases = [case for case in load("attacks") if fits(case) and (texts is None or is_in(case, texts))]
        for case, address in zip(itertools.cycle(cases), many(), strict=False):
            lines = {"content-length": str(len(case.body)), **dict(case.headers)}
            target = case.path + (f"?{case.url.decode()}" if case.url else "")
            yield Request(http(case.body, address=address, headers=lines, method=case.method, target=target))

    return Attack(requests, short=file is None)


def fits(case: Case) -> bool:
    """Whether a case is refused with the default settings, and can be written in HTTP/1.1 as it stands."""
    return not case.settings and case.schema is None and case.method != "HEAD" and case.url.isascii()


def is_in(case: Case, text: str) -> bool:
    """Whether a file has a case of this name."""
    return any(f"- name: {quoted}\n" in text for quoted in (case.name, f"'{case.name}'", f'"{case.name}"'))


CORPUS = Path(tests.corpus.loading.__file__).with_name("attacks")

ATTACKS: dict[str, Attack] = {
    "one address over its limit": sent(lambda number: query(DOCUMENT, n=3, unique=number), one),
    "deep queries, a botnet": sent(lambda number: query(DEEP, unique=number), many, short=False),
    "deep queries, another address each": sent(lambda number: query(DEEP, unique=number), distinct, short=False),
    "bad tokens, one IPv6 /64": bad_tokens(one_64),
    "bad tokens, another address each": bad_tokens(distinct, short=False),
    "bad tokens, another IPv6 /64 each": bad_tokens(distinct_64s, short=False),
    "a misspelled field with a long literal": sent(
        lambda number: query(f'{{ serch(text: "{"postsUsers" * 400}") {{ id }} n{number}: __typename }}'), many
    ),
    "a long Forwarded": Attack(long_forwarded, settings={"FRAISEQL_GUARD_FORWARDED_HEADER": "forwarded"}),
    "slow operations": sent(lambda number: query("{ slow(seconds: 2) }", n=number), many),
    "slow operations, abandoned": Attack(leaving, short=False),
    "bodies that never end": Attack(half_bodies(leaves_after=4.0), share=0.1),
    "bodies of crumbs": Attack(half_bodies(leaves_after=4.0, pieces=1_000, chunked=True), share=0.05),
    "aborted bodies": Attack(half_bodies(leaves_after=0.05), share=0.25),
    "100,000 sanctions, and an operator's looks": Attack(sanctioned_callers, short=False, before=sanction_many),
    "foreign entries in Redis": replace(
        sent(lambda number: query(DEEP, unique=number), many, short=False), before=write_foreign_entries
    ),
    "corpus, all": corpus(),
    **{f"corpus, {file.stem}": corpus(file) for file in sorted(CORPUS.glob("*.yaml"))},
}
