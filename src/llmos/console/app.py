"""Console: the ASGI application of the web pages.

Every answer has the same content security policy. A visitor without a session is sent to the sign-in page; what a
visitor may do is the server's decision, at every request that a page makes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from llmos.console import CONSOLE_PATH, static_files
from llmos.console.api import Api
from llmos.console.live import Feeds, LiveResponse, reload_once
from llmos.console.page import Fragments, Handler, LiveHandler, Page
from llmos.console.pages import PAGES, PUBLIC_PAGES
from llmos.console.view import TEMPLATES, View
from llmos.core.errors import LLMOSError, Unauthenticated, find_error_class
from llmos.core.schemas.users import SessionDescription

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # With no-referrer, browsers would hide the origin of forms from the server.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_CSRF_PLACE = token_urlsafe()
"""Stands in shared updates where each reader's own token belongs."""

_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]


def _navigation(view: View) -> list[Page]:
    """Return the pages that the visitor may see; of those with the same name, the first one."""
    shown: dict[str, Page] = {}
    for page in PAGES:
        if (page.in_navigation or page.tab) and (not page.permission or view.may(page.permission)):
            shown.setdefault(page.name, page)
    return list(shown.values())


def _tabs(view: View) -> list[Page]:
    """Return the pages with the same name as this one that the visitor may see."""
    return [page for page in PAGES if page.tab and page.name == view.page and view.may(page.permission)]


TEMPLATES.globals.update(navigation=_navigation, tabs=_tabs)


class Console:
    def __init__(self, feeds: Feeds | None = None) -> None:
        self._feeds = feeds or Feeds()
        routes = [Route("/static/{name:path}", self._static)]
        for page in PAGES + PUBLIC_PAGES:
            is_public = page in PUBLIC_PAGES
            for method, path, handler in page.handlers:
                endpoint = self._public(page, handler) if is_public else self._private(page, handler, method)
                routes.append(Route((page.root + path) or "/", endpoint, methods=[method]))
            for path, live in page.live_handlers:
                routes.append(Route(f"/live{page.root}{path}", self._live(page, live)))
        # A path that is written out comes before one with a placeholder, which would match it as well.
        routes.sort(key=lambda route: "{" in route.path)
        self._router = Router(routes, default=_not_found, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server has no other protocol"
        # The router replaces scope["app"]. Requests to the server need the application that this one is mounted in.
        scope["state"]["server"] = scope["app"]
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            response = await self._failure(
                View(Request(scope), self._api(Request(scope)), None, ""),
                find_error_class(None, error.status_code)(HTTPStatus(error.status_code).phrase + "."),
            )
            await response(scope, receive, send)

    def _private(self, page: Page, handler: Handler, method: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a page for visitors with a session."""

        async def answer(request: Request) -> Response:
            view: View | None = None
            try:
                view = await self._view(request, page)
                return await handler(view)
            except Unauthenticated:
                return _to_sign_in(request)
            except ClientDisconnect:
                raise
            except LLMOSError as error:
                if view is None:
                    view = View(request, self._api(request), None, page.name, _home(page))
                elif method == "POST":
                    return view.redirect(view.form_came_from or _home(page), error.message, kind="failed")
                return await self._failure(view, error)

        return _with_headers(answer)

    def _public(self, page: Page, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            view = View(request, self._api(request), None, page.name, _home(page))
            try:
                return await handler(view)
            except LLMOSError as error:
                return await self._failure(view, error)

        return _with_headers(answer)

    def _live(self, page: Page, handler: LiveHandler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                view = await self._view(request, page, is_poll=True)
            except Unauthenticated:
                return LiveResponse(reload_once(), _RAW_HEADERS)
            if request.query_params.get("release") != static_files.release():
                return LiveResponse(reload_once(), _RAW_HEADERS)
            return LiveResponse(self._chunks(view, handler), _RAW_HEADERS)

        return answer

    async def _chunks(self, view: View, handler: LiveHandler) -> AsyncGenerator[bytes, None]:
        """Yield the live updates of a page. Visitors of the same project and role share them, but for their tokens."""
        session, url = view.session, view.request.url
        view.hide_csrf_token(_CSRF_PLACE)

        async def look(memory: dict[str, Any]) -> Fragments:
            now = await view.api.read(SessionDescription, "/llmos/v1/session")
            if (now.user, now.project, now.role) != (session.user, session.project, session.role):
                raise Unauthenticated("The visitor is somebody else now.")
            view.memory = memory
            return await handler(view)

        key = (url.path, url.query, view.language, session.project, session.role)
        async with aclosing(self._feeds.read(key, look)) as chunks:
            async for chunk in chunks:
                yield chunk.replace(_CSRF_PLACE.encode(), session.csrf_token.encode())

    async def _view(self, request: Request, page: Page, *, is_poll: bool = False) -> View:
        """Return the view of a visitor with a session. Raises Unauthenticated."""
        api = self._api(request, is_poll=is_poll)
        session = await api.read(SessionDescription, "/llmos/v1/session")
        return View(request, api, session, page.name, _home(page))

    def _api(self, request: Request, *, is_poll: bool = False) -> Api:
        return Api(request.scope["state"]["server"], request.scope, is_poll=is_poll)

    async def _static(self, request: Request) -> Response:
        request.scope["state"]["is_part"] = True
        response = static_files.respond(request, request.path_params["name"])
        if response is None:
            response = Response("There is no such file.\n", 404, media_type="text/plain")
        response.headers.update(_HEADERS)
        return response

    async def _failure(self, view: View, error: LLMOSError) -> Response:
        """Return the page that says what is wrong, in one line, and where to go on."""
        response = view.render("error.html", error.status, error=error)
        response.headers.update(_HEADERS)
        return response


def _home(page: Page) -> str:
    """Return where a visitor goes on who can't see what the page was asked for."""
    return (
        page.home or next((page.root for method, path, _ in page.handlers if (method, path) == ("GET", "")), "") or "/"
    )


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404)


def _to_sign_in(request: Request) -> Response:
    """Send the browser to the sign-in page, and from there back to a page that it wanted to read."""
    wanted = request.url.path if request.method == "GET" else f"{CONSOLE_PATH}/"
    if request.method == "GET" and request.url.query:
        wanted += f"?{request.url.query}"
    return RedirectResponse(f"{CONSOLE_PATH}/sign-in?next={quote(wanted, safe='')}", 303)


def _with_headers(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def with_headers(request: Request) -> Response:
        response = await answer(request)
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return with_headers
