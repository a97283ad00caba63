"""Files for browsers below the admin path: everybody may read them, they may load nothing from elsewhere."""

from fraiseql_guard.admin.pages import Page
from tests.admin.conftest import BOBS
from tests.support.asgi import request


async def test_a_page_is_for_everybody_under_a_strict_policy(serve) -> None:
    api = serve(rate_limit_default="2/hour", rate_limit_burst=0)
    api.guard.guard._stack.door._pages = {"/": Page(b"<!doctype html>", "text/html; charset=utf-8")}
    page = await request(api.guard, "GET", "/admin/")
    assert (page.status, page.body, page.header("content-type")) == (
        200,
        b"<!doctype html>",
        "text/html; charset=utf-8",
    )
    policy = page.header("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert page.header("x-content-type-options") == "nosniff"
    assert (await request(api.guard, "HEAD", "/admin/")).body == b""
    assert (await request(api.guard, "GET", "/admin/")).status == 429, "it costs what any anonymous request does"
    assert (await api("POST", "/", token=None)).status == 401
    assert (await api("POST", "/", token=BOBS)).status == 404
    assert api.guard.metric("fraiseql_http_requests_total", endpoint="/admin/", status="200") == 2


async def test_without_pages_there_are_none(serve) -> None:
    api = serve()
    assert (await api("GET", "/")).status == 404
    assert (await api("GET", "/", token=None)).status == 401
