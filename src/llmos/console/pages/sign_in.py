"""The sign-in page: a user's name and password, or the way to an OpenID provider."""

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from llmos.client.server_errors import parse_error
from llmos.console import CONSOLE_PATH
from llmos.console.languages import LANGUAGES
from llmos.console.page import Page
from llmos.console.view import LANGUAGE_COOKIE, View, keep_choice
from llmos.core.errors import Unauthenticated

PAGE = Page(name="sign-in", in_navigation=False)

_HOME = f"{CONSOLE_PATH}/"


@PAGE.get()
async def show_form(view: View) -> Response:
    next = _safe_next(view.query("next"))
    if (language := view.query("language")) in LANGUAGES:
        view = view.in_language(language)
    problem = ""
    if view.query("signed_in"):
        try:
            await view.api.get("/llmos/v1/session")
            return RedirectResponse(next, 303)
        except Unauthenticated:
            problem = view.t("sign_in.no_cookies")
    response = await _render(view, next, problem=problem)
    if language in LANGUAGES:
        keep_choice(response, LANGUAGE_COOKIE, language)
    return response


@PAGE.post()
async def sign_in(view: View) -> Response:
    form = await view.form()
    next, user = _safe_next(form.get("next", "")), form.get("user", "")
    reply = await view.api.send("POST", "/llmos/v1/sign-in", {"user": user, "password": form.get("password", "")})
    if reply.status >= 400:
        error = parse_error(reply.status, reply.json())
        return await _render(view, next, user=user, problem=error.message, status=error.status)
    # By a page that finds out whether the browser keeps the cookie: it would be sent back here again and again.
    response = RedirectResponse(f"{CONSOLE_PATH}/sign-in?signed_in=yes&next={quote(next, safe='')}", 303)
    pass_on_cookies(reply.headers.getlist("set-cookie"), response)
    return response


def pass_on_cookies(cookies: list[str], response: Response) -> None:
    """Give the browser the cookies that the server sets."""
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)


async def _render(view: View, next: str, *, user: str = "", problem: str = "", status: int = 200) -> Response:
    ways = await view.api.get("/llmos/v1/sign-in/ways")
    return view.render("sign_in.html", status, next=next, user=user, problem=problem, has_oidc=ways["oidc"])


def _safe_next(text: str) -> str:
    """Return the page of the console that the browser goes to afterwards."""
    is_page = text.startswith(_HOME) and len(text) <= 512 and text.isascii() and text.isprintable()
    return text if is_page and not any(each in text for each in ("\\", " ", "//")) else _HOME
