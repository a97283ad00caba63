"""Django with Strawberry's view: ``uvicorn --no-proxy-headers main:application``."""

from collections.abc import Awaitable, Callable

import strawberry
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware
from strawberry.django.views import AsyncGraphQLView

from fraiseql_guard import Guard


@strawberry.type
class Person:
    """A person with friends."""

    name: str = "Ada"

    @strawberry.field
    def friends(self, first: int = 50) -> list["Person"]:
        return [Person()] * min(first, 3)


@strawberry.type
class Query:
    """The root of queries."""

    @strawberry.field
    def whoami(self, info: strawberry.Info) -> str:
        return info.context.request.scope["user"].display_name or "anonymous"

    @strawberry.field
    def people(self, first: int = 50) -> list[Person]:
        return [Person()] * min(first, 3)


schema = strawberry.Schema(Query)


@async_only_middleware
def guards_user(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
) -> Callable[..., Awaitable[HttpResponse]]:
    """Makes the user that the guard has verified request.user. In MIDDLEWARE it comes after those that find others."""

    async def middleware(request: HttpRequest) -> HttpResponse:
        user = request.scope["user"]
        if user.is_authenticated or not hasattr(request, "user"):
            request.user = user
        return await get_response(request)

    return middleware


urlpatterns = [path("graphql", AsyncGraphQLView.as_view(schema=schema))]
if not settings.configured:  # a project has these in settings.py
    settings.configure(ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.guards_user"], ALLOWED_HOSTS=["localhost"])
application = Guard(get_asgi_application(), schema=schema)  # in a project's asgi.py
