"""The visitor's own settings: language and colors, and the end of the session."""

from starlette.responses import RedirectResponse, Response

from llmos.client.server_errors import parse_error
from llmos.console import CONSOLE_PATH
from llmos.console.languages import LANGUAGES
from llmos.console.page import Page
from llmos.console.pages.sign_in import pass_on_cookies
from llmos.console.view import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, View, keep_choice

PAGE = Page(name="account", in_navigation=False)


@PAGE.post("/choices")
async def choose(view: View) -> Response:
    form = await view.form()
    response = view.redirect(view.form_came_from)
    if (language := form.get("language", "")) in LANGUAGES:
        keep_choice(response, LANGUAGE_COOKIE, language)
    if (theme := form.get("theme", "")) in THEMES:
        keep_choice(response, THEME_COOKIE, theme)
    return response


@PAGE.post("/sign-out")
async def sign_out(view: View) -> Response:
    form = await view.form()
    everywhere = "true" if form.get("everywhere") else None
    reply = await view.api.send("POST", "/llmos/v1/sign-out", {}, everywhere=everywhere)
    if reply.status >= 400:
        raise parse_error(reply.status, reply.json())
    response = RedirectResponse(f"{CONSOLE_PATH}/sign-in", 303)
    pass_on_cookies(reply.headers.getlist("set-cookie"), response)
    return response
