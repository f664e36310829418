"""View: one request for a page: who visits, in which language, and how the answer is written."""

import json
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from llmos import __version__
from llmos.console import CONSOLE_PATH
from llmos.console.api import Api, quote_path
from llmos.console.languages import LANGUAGES, Texts, choose_language
from llmos.console.static_files import release, static_files
from llmos.core.errors import BadRequest, PermissionDenied
from llmos.core.schemas.users import SessionDescription

LANGUAGE_COOKIE, THEME_COOKIE, NOTICE_COOKIE = "llmos_language", "llmos_theme", "llmos_notice"
THEMES = ("auto", "light", "dark")
MAX_FORM_BYTES = 256 * 1024
_YEAR = 31_536_000
_MAX_NOTICE_BYTES = 3500
"""Browsers keep cookies of up to 4,096 bytes."""


def _static_url(name: str) -> str:
    return f"{CONSOLE_PATH}/static/{name}?v={static_files()[name].digest}"


def _pretty(value: Any) -> str:
    """Return a value of JSON as text: a string as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_STATE_CLASSES = {
    "good": "active answered better connected delivered done finished here not_worse passed ready sound succeeded",
    "warn": "away begun draining interrupted leaving loading open paused pending queued running starting taken"
    " undecided unfinished unready waiting",
    "bad": "could_not_run error failed in_doubt refused rolled_back stuck to_mend worse",
}


def _state_class(state: str) -> str:
    """Return the class of the dot before a state; empty for one that is neither good nor bad."""
    return next((name for name, states in _STATE_CLASSES.items() if state in states.split()), "")


TEMPLATES.globals["state_class"] = _state_class
TEMPLATES.globals.update(static=_static_url, version=__version__, release=release, languages=LANGUAGES, themes=THEMES)
TEMPLATES.filters["path"] = quote_path
TEMPLATES.filters["pretty"] = _pretty
TEMPLATES.filters["tojson_text"] = lambda value: json.dumps(value, ensure_ascii=False)


class View:
    def __init__(
        self, request: Request, api: Api, session: SessionDescription | None, page: str, home: str = "/"
    ) -> None:
        """`session`: None for a visitor who hasn't signed in. `page`: the name of the page that is asked for, and
        `home` its first path."""
        self.request, self.api, self._session, self.page, self._home = request, api, session, page, home
        self.form_came_from = ""
        self.shown_path = request.url.path.removeprefix(CONSOLE_PATH)
        """The path below /console that a reload or a choice leads to."""
        self.memory: dict[str, Any] = {}
        """The state that a live page keeps between two updates."""
        self.language = choose_language(
            request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", "")
        )
        self.t = Texts(self.language)
        theme = request.cookies.get(THEME_COOKIE, "")
        self.theme = theme if theme in THEMES else "auto"

    @property
    def session(self) -> SessionDescription:
        assert self._session is not None, "only pages for everybody have no session"
        return self._session

    @property
    def is_anonymous(self) -> bool:
        return self._session is None

    @property
    def own_path(self) -> str:
        """The shown path with the query."""
        query = self.request.url.query
        return self.shown_path + (f"?{query}" if query else "")

    @property
    def live_path(self) -> str:
        """Return the path that this page's live updates come from."""
        path, mark, query = self.own_path.partition("?")
        return f"{CONSOLE_PATH}/live{quote_path(path.rstrip('/'))}?{query}{mark and '&'}release={release()}"

    @property
    def list_path(self) -> str:
        """The path of the page that this one belongs to."""
        return self._home

    def in_language(self, language: str) -> Self:
        self.language, self.t = language, Texts(language)
        return self

    def hide_csrf_token(self, place: str) -> None:
        """Write `place` where the visitor's token would stand."""
        self._session = msgspec.structs.replace(self.session, csrf_token=place)

    def may(self, permission: str) -> bool:
        """Return whether the server will let the visitor do this, so that pages offer nothing else."""
        return permission in self.session.permissions

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent, whose CSRF token goes to the server with what the page asks.

        Raises BadRequest for a form that is too large, and PermissionDenied for one of another session: a page may read
        before it changes something, and only the change would be refused by the server.
        """
        body = b""
        async for piece in self.request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                raise BadRequest(f"The form has more than {MAX_FORM_BYTES:,} bytes. Send less, or use the API.")
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        self.api.csrf_token = fields.pop("csrf_token", "")
        self.form_came_from = fields.pop("back", "")
        if self._session is not None and not self._is_own(self.api.csrf_token):
            raise PermissionDenied(self.t("base.old_form"))
        return fields

    def _is_own(self, csrf_token: str) -> bool:
        return compare_digest(csrf_token.encode(errors="replace"), self.session.csrf_token.encode())

    def html(self, template: str, **context: Any) -> str:
        """Return a template with values, as HTML."""
        return TEMPLATES.get_template(template).render(view=self, t=self.t, **context)

    def render(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return the page of a template."""
        notice = self._take_notice()
        response = Response(
            self.html(template, notice=notice, **context), status, media_type="text/html; charset=utf-8"
        )
        if notice is not None:
            response.delete_cookie(NOTICE_COOKIE, path=CONSOLE_PATH)
        return response

    def redirect(self, path: str, text: str = "", *, kind: str = "done") -> Response:
        """Send the browser to a page below /console, which shows `text` once. `kind`: done or failed."""
        response = RedirectResponse(CONSOLE_PATH + quote_path(path), 303)
        if text:
            value = _notice(kind, text)
            response.set_cookie(NOTICE_COOKIE, value, max_age=60, path=CONSOLE_PATH, httponly=True, samesite="strict")
        return response

    def _take_notice(self) -> Mapping[str, str] | None:
        try:
            kind, text = json.loads(unquote(self.request.cookies.get(NOTICE_COOKIE, "")))
        except (ValueError, TypeError):
            return None
        return {"kind": "failed" if kind == "failed" else "done", "text": str(text)}


def _notice(kind: str, text: str) -> str:
    while len(value := quote(json.dumps([kind, text], ensure_ascii=False), safe="")) > _MAX_NOTICE_BYTES:
        text = text[: len(text) * 3 // 4]
    return value


def keep_choice(response: Response, name: str, value: str) -> None:
    """Let the browser remember a visitor's choice for a year."""
    response.set_cookie(name, value, max_age=_YEAR, path=CONSOLE_PATH, httponly=True, samesite="strict")
