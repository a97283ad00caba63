"""``fraiseql-guard paths``: finds the paths of an app that serve GraphQL, and whether they are guarded."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from fraiseql_guard.asgi.app_routes import LOOSE, AppRoute, GuardAround, routes_of
from fraiseql_guard.asgi.elsewhere import is_on_graphql_paths
from fraiseql_guard.asgi.middleware import Middleware
from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.render import JsonOption, print_json, print_line
from fraiseql_guard.core.settings import Settings, name_of

_CUSTOMARY: Final = (
    "/graphql",
    "/api/graphql",
    "/v1/graphql",
    "/graphql/v1",
    "/api",
    "/api/v1/graphql",
    "/gql",
    "/query",
    "/",
)
"""Paths where GraphQL is usually served."""
_SECONDS: Final = 10.0
# The openapi.json of another server may name any number of paths.
_MOST_PATHS: Final = 200
_QUERY: Final = {"query": "{__typename}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFound:
    """One path of an app. ``protection`` says why the path is safe: the configured path that covers it, ``token``,
    ``exempt``; "" if nothing protects it."""

    path: str
    methods: Sequence[str]
    graphql: bool
    guarded: bool
    protection: str

    @property
    def open(self) -> bool:
        """Whether the path speaks GraphQL and is not guarded."""
        return self.graphql and not self.guarded

    @property
    def says(self) -> str:
        """The path's protection for people: ``NOT GUARDED`` for open GraphQL, a dash for other paths without one."""
        return self.protection or ("NOT GUARDED" if self.open else "-")


def paths(
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:APP|URL", help="The app as uvicorn is given it, or where it is served."),
    ],
    factory: Annotated[bool, typer.Option("--factory", help="APP is a function that makes the app.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the paths of an app, and which of those that speak GraphQL are not guarded. Ends with 0 if all are, 1 if
    one is not.

    MODULE:APP is imported and its routes are read. A URL is asked: one small query on each path that its openapi.json
    names, and where GraphQL is usually served.
    """
    with exit_on_error():
        found = _served(target) if "://" in target else _imported(target, factory=factory)
        if not found:
            raise ValueError(f"{target} shows no path that could be looked at. Accepted: MODULE:APP, or a URL")
    if as_json:
        print_json({"paths": [{field.name: getattr(each, field.name) for field in fields(each)} for each in found]})
    else:
        _print(found)
    raise typer.Exit(REFUSED if any(each.open for each in found) else 0)


def _print(found: Sequence[PathFound]) -> None:
    width = max(len(each.path) for each in found)
    # A router may have several routes on one path: by method, and for WebSockets.
    for path, graphql, says in dict.fromkeys((each.path, each.graphql, each.says) for each in found):
        kind = "GraphQL" if graphql else "       "
        print_line(f"{path:<{width}}  {kind}  {says}")
    open_paths = list(dict.fromkeys(each.path for each in found if each.open))
    loose = [path for path in open_paths if path.endswith(LOOSE)]
    if named := [path for path in open_paths if path not in loose]:
        print_line(f"Set {name_of('graphql_paths')} to cover {', '.join(named)}")
    if loose:
        print_line(
            f"Make a route of the mount that takes {', '.join(loose)}: no setting covers all paths that begin so"
        )


# --- of an app that can be imported -----------------------------------------------------------------------------------


def _imported(target: str, *, factory: bool) -> Sequence[PathFound]:
    app = _load(target, factory=factory)
    found: list[PathFound] = []
    for route in routes_of(app, Middleware):
        around = _deciding(route)
        table, mount = PathTable(_settings_of(around.guard)), around.mount
        paths = [route.path]
        if _takes_paths_away(around.guard) and route.path == (mount or "/"):
            # Such an endpoint is served only on the paths of its guard, below the mount that both are in.
            paths = [_below(mount, path) for path in around.guard.settings.graphql_paths]
        found += [_judged(replace(route, path=path), table, mount) for path in paths]
    return found


def _deciding(route: AppRoute) -> GuardAround:
    """The guard that a route is judged by: the one with the most protections, and of several such the innermost;
    GuardAround(None, "") without a guard."""
    return max(reversed(route.guards), key=lambda each: len(each.protections), default=GuardAround(None, ""))


def _takes_paths_away(guard: Any) -> bool:
    return isinstance(guard, Middleware) and guard.runtime.refuses and is_on_graphql_paths(guard.app, Middleware)


def _below(mount: str, path: str) -> str:
    return path if path == mount or path.startswith(f"{mount}/") else mount + path


def _load(target: str, *, factory: bool) -> Any:
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"{target} is neither MODULE:APP nor a URL. Accepted: for example main:app")
    app = _imported_module(module_name)
    # uvicorn takes dotted names, too: MODULE:package.app.
    for name in attribute.split("."):
        if not hasattr(app, name):
            raise ValueError(f"{module_name} has no {attribute}. Accepted: the name of the app, or of a factory")
        app = getattr(app, name)
    return app() if factory else app


def _imported_module(name: str) -> Any:
    # As uvicorn does: modules are found from the working directory.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported: {error}") from error


def _settings_of(guard: Any) -> Settings:
    """The settings of a guard, also of one that its app has not built yet; without a guard the environment's."""
    if guard is None:
        return Settings.load()
    if isinstance(guard, Middleware):
        return guard.settings
    # A middleware that is not built yet has its options as keyword arguments.
    return Settings.load(**{name: value for name, value in guard.kwargs.items() if name in Settings.__slots__})


def _judged(route: AppRoute, table: PathTable, mount: str) -> PathFound:
    # The table of the run time decides, so that the command cannot disagree with the guard.
    place = table.place({"path": route.path, "root_path": mount})
    if place.graphql is not None:
        protection = f"guarded ({place.graphql})"
    elif place.needs_token:
        protection = "token"
    else:
        protection = "exempt" if place.exempt else ""
    guarded = place.graphql is not None
    return PathFound(
        path=route.path, methods=route.methods, graphql=route.graphql, guarded=guarded, protection=protection
    )


# --- of an app that is served -----------------------------------------------------------------------------------------


def _served(url: str) -> Sequence[PathFound]:
    """The paths at a URL that answer a small GraphQL query. OSError if the server cannot be reached."""
    base = url.rstrip("/")
    # trust_env=False: a proxy of the environment would answer instead of the app.
    with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
        try:
            # The paths that the app names itself, then the usual ones.
            named = _documented(client, base)
            candidates = list(dict.fromkeys([*named, *_CUSTOMARY]))[:_MOST_PATHS]
            found = [_asked_path(client, base, path) for path in candidates]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(f"{base} cannot be asked: {error or type(error).__name__}") from error
    return [each for each in found if each is not None]


def _documented(client: httpx.Client, base: str) -> Iterable[str]:
    answer = client.get(f"{base}/openapi.json")
    content = _json_of(answer)
    documented = content.get("paths") if isinstance(content, Mapping) else None
    # The document comes from another server and may hold any JSON: each level is checked.
    return filter(_can_be_asked, documented) if isinstance(documented, Mapping) else []


def _can_be_asked(path: object) -> bool:
    """Whether a path has no parameters and fits into a URL."""
    return isinstance(path, str) and path.startswith("/") and path.isprintable() and "{" not in path


def _asked_path(client: httpx.Client, base: str, path: str) -> PathFound | None:
    """Ask one path; None if it serves no GraphQL."""
    answer = _json_of(client.post(base + path, json=_QUERY))
    if not _is_graphql(answer):
        return None
    # A refusal of the small query itself (no token) shows a guard already.
    guarded = _is_guards(answer)
    if not guarded:
        # The guard refuses plain text on every path that it covers.
        guarded = _is_guards(_json_of(client.post(base + path, content=b"?", headers={"content-type": "text/plain"})))
    protection = "guarded" if guarded else ""
    return PathFound(path=path, methods=("POST",), graphql=True, guarded=guarded, protection=protection)


def _json_of(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _is_graphql(content: Any) -> bool:
    """Whether an answer is a GraphQL response: with data, with errors, or with both."""
    match content:
        case {"data": {"__typename": _}}:
            return True
        case {"errors": list(errors)}:
            return all(isinstance(each, Mapping) and "message" in each for each in errors)
    return False


def _is_guards(content: Any) -> bool:
    """Whether an answer is a refusal of the guard in the form of GraphQL paths."""
    match content:
        case {"errors": [{"extensions": {"requestId": _, "code": _}}, *_]}:
            return True
    return False
