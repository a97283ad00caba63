"""The FraiseQL example with what an incident needs: a cache without a bound, and a container that is soon full."""

# FraiseQL evaluates the annotations of types and resolvers, so they are not postponed here.

import os

import fraiseql
from graphql import GraphQLResolveInfo

from examples.drills.container import PAGE_BYTES, VARIABLE
from fraiseql_guard.fraiseql import protect
from fraiseql_guard.telemetry.process.memory import Memory, resident_bytes

_pages: dict[int, bytes] = {}


@fraiseql.type
class Page:
    """A page that was rendered."""

    number: int
    size_bytes: int


@fraiseql.query
async def page(info: GraphQLResolveInfo, number: int) -> Page:  # noqa: ARG001 - FraiseQL's signature
    """Render a page, or take it from the cache, which has no bound."""
    if number not in _pages:
        _pages[number] = b"." * PAGE_BYTES
    return Page(number=number, size_bytes=len(_pages[number]))


# Queries register themselves: ours must be there when the application is made.
from examples.fraiseql_blog.bare import bare_app  # noqa: E402

app = protect(bare_app)
app.observe_cache("pages", lambda: sum(map(len, _pages.values())), _pages.clear)

if room := os.environ.get(VARIABLE):
    limit = (resident_bytes() or 0) + int(room)
    app.host.memory.read = lambda: Memory(resident_bytes() or 0, limit)
