"""``/api`` is FraiseQL with its guard, which has a key and a deadline; the guard around the main app has neither.

Inside FraiseQL's own middleware stands a limiter that authenticates no user. ``/tight`` is the same below a limiter of
5 an hour, ``/hurried`` below a guard whose deadline is the shorter one.
"""

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from examples.fraiseql_blog.bare import bare_app
from fraiseql_guard import Guard, QueryTimeoutMiddleware, RateLimitMiddleware
from fraiseql_guard.fraiseql import protect
from tests.support.fraiseql_host import SECRET

MANY = "100000/minute"

bare_app.add_middleware(RateLimitMiddleware, rate_limit_default=MANY)
guarded = protect(bare_app, jwt_secret=SECRET, query_timeout=4, rate_limit_default=MANY)
tight = RateLimitMiddleware(GZipMiddleware(guarded), rate_limit_default="5/hour", rate_limit_burst=0)
hurried = QueryTimeoutMiddleware(GZipMiddleware(guarded), query_timeout=1)

app = FastAPI(lifespan=lambda _main: bare_app.router.lifespan_context(bare_app))
app.mount("/api", guarded)
app.mount("/tight", tight)
app.mount("/hurried", hurried)
app.add_middleware(Guard, rate_limit_default=MANY, max_query_depth=30)
