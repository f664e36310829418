"""/llmos/v1/sign-in, /sign-out and /session: a session in a browser, begun with a password.

These paths need no key: they look for the session themselves. A form gets pages and redirects, JSON gets JSON.
"""

import asyncio
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from llmos.core.errors import LLMOSError, Unauthenticated
from llmos.core.schemas.users import SessionDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, convert, decode, parse_body, read_body
from llmos.gateway.http.session_cookies import (
    CSRF_HEADER,
    check_csrf,
    check_origin,
    remove_session_cookie,
    session_token,
    set_session_cookie,
)
from llmos.gateway.http.sign_in_page import DEFAULT_NEXT, onward_page, safe_next, sign_in_page, signed_in_page
from llmos.gateway.services import services_of
from llmos.security.users.descriptions import describe_session
from llmos.security.users.sessions import SignedIn, csrf_token
from llmos.security.users.sign_in import Visitor

router = APIRouter(prefix="/llmos/v1", tags=["sign-in"])

MAX_BODY_BYTES = 16 * 1024
_FORM = "application/x-www-form-urlencoded"


class SignInRequest(RequestObject, kw_only=True):
    user: str
    password: str
    next: str | None = None
    """The path that a form's browser goes to afterwards."""


class ChangeRequest(RequestObject, kw_only=True):
    current_password: str
    password: str
    """The new one, with at least 12 characters."""


class SignOutForm(RequestObject, kw_only=True):
    csrf_token: str | None = None


class SignInWays(msgspec.Struct):
    password: bool
    oidc: bool
    """Through an OpenID provider, from /llmos/v1/sign-in/oidc."""


R = TypeVar("R", bound=RequestObject)


@router.get("/sign-in", summary="The page where a person signs in", response_class=HTMLResponse)
async def sign_in_form(request: Request) -> Response:
    """Or who is signed in. `?next=`: the path on this server that the browser goes to afterwards."""
    token, found = await _session(request)
    if token is not None and found is not None:
        user = found.user
        return signed_in_page(user.name, user.role, user.project, csrf_token(token))
    services = services_of(request)
    return sign_in_page(safe_next(request.query_params.get("next")), has_oidc=services.oidc is not None)


@router.post(
    "/sign-in",
    summary="Sign in with a password",
    openapi_extra=openapi.body(SignInRequest, {"user": "ann", "password": "correct horse battery staple"}),
    responses=openapi.answers(SessionDescription),
)
async def sign_in(request: Request) -> Response:
    """Sets the session's cookie. 401 says the same whatever is wrong; 429 after too many failures."""
    services, is_form = services_of(request), _is_form(request)
    check_origin(request, services.settings.public_url)
    body = await _body(request, SignInRequest)
    next = safe_next(body.next)
    try:
        _, token = await asyncio.get_running_loop().run_in_executor(
            services.sign_in.threads, services.sign_in.with_password, body.user, body.password, visitor_of(request)
        )
    except LLMOSError as error:
        if not is_form:
            raise
        has_oidc = services.oidc is not None
        return sign_in_page(next, has_oidc=has_oidc, problem=error.message, status=error.status)
    if is_form:
        response: Response = RedirectResponse(next, 303, {"Cache-Control": "no-store"})
    else:
        response = await _session_response(request, token)
    await _end_session_before(request)
    set_session_cookie(response, request, token, services.settings.public_url)
    return response


@router.get("/sign-in/ways", summary="How a person can sign in", responses=openapi.answers(SignInWays))
async def list_sign_in_ways(request: Request) -> Response:
    return json_response(SignInWays(password=True, oidc=services_of(request).oidc is not None))


@router.get("/sign-in/link", include_in_schema=False)
async def open_sign_in_link(request: Request) -> Response:
    """Sign the user in that `token` is for. `?next=`: the path that the browser goes to afterwards."""
    services, query = services_of(request), request.query_params
    next = safe_next(query.get("next"))
    try:
        token = await asyncio.get_running_loop().run_in_executor(
            services.sign_in.threads, services.sign_in.with_link, query.get("token", ""), visitor_of(request)
        )
    except LLMOSError as error:
        has_oidc = services.oidc is not None
        return sign_in_page(next, has_oidc=has_oidc, problem=error.message, status=error.status)
    await _end_session_before(request)
    # Not a redirect: a browser that comes from another site's page, such as a mail, would go on without the cookie.
    response = onward_page(next)
    set_session_cookie(response, request, token, services.settings.public_url)
    return response


@router.post("/sign-out", summary="End the session of this browser", status_code=204)
async def sign_out(request: Request) -> Response:
    """Needs the CSRF token, in the header X-CSRF-Token or in a form's `csrf_token`. `?everywhere=true` ends the user's
    sessions in other browsers, too."""
    services, token = services_of(request), session_token(request.scope, services_of(request).settings.public_url)
    if token is None:
        raise Unauthenticated("This browser has no session, so there is nothing to end.")
    presented = request.headers.get(CSRF_HEADER)
    if presented is None and _is_form(request):
        presented = (await _body(request, SignOutForm)).csrf_token
    check_csrf(request.method, presented, token)
    everywhere = request.query_params.get("everywhere") == "true"
    await asyncio.to_thread(partial(services.sign_in.sign_out, token, visitor_of(request), everywhere=everywhere))
    response = RedirectResponse(DEFAULT_NEXT, 303) if _is_form(request) else Response(status_code=204)
    remove_session_cookie(response, request, services.settings.public_url)
    return response


@router.post(
    "/session/password",
    summary="Change one's own password",
    openapi_extra=openapi.body(
        ChangeRequest,
        {"current_password": "correct horse battery staple", "password": "another password entirely"},
    ),
    responses=openapi.answers(SessionDescription),
)
async def change_password(request: Request) -> Response:
    """Ends the user's sessions, and begins another one in this browser. Needs the CSRF token."""
    services, (token, found) = services_of(request), await _session(request)
    if token is None or found is None:
        raise _nobody()
    check_csrf(request.method, request.headers.get(CSRF_HEADER), token)
    body = await parse_body(request, ChangeRequest)
    new_token = await asyncio.get_running_loop().run_in_executor(
        services.sign_in.threads,
        services.sign_in.change_password,
        found.user,
        body.current_password,
        body.password,
        visitor_of(request),
    )
    response = await _session_response(request, new_token)
    set_session_cookie(response, request, new_token, services.settings.public_url)
    return response


@router.get("/session", summary="Who is signed in in this browser?", responses=openapi.answers(SessionDescription))
async def get_session(request: Request) -> Response:
    """401 without a session. Has the CSRF token that changes need."""
    token = session_token(request.scope, services_of(request).settings.public_url)
    if token is None:
        raise _nobody()
    return await _session_response(request, token)


def visitor_of(request: Request) -> Visitor:
    address = request.client.host if request.client else None
    return Visitor(address=address, request_id=request.state.request_id)


def _nobody() -> Unauthenticated:
    return Unauthenticated("Nobody is signed in in this browser. Sign in: GET /llmos/v1/sign-in")


async def _session_response(request: Request, token: str) -> Response:
    """Describe the session with this token. Raises Unauthenticated if it has ended."""
    is_use = not request.scope["state"].get("is_poll", False)
    found = await asyncio.to_thread(partial(services_of(request).sessions.find, token, is_use=is_use))
    if found is None:
        raise _nobody()
    response = json_response(describe_session(found, csrf_token(token)))
    response.headers["Cache-Control"] = "no-store"
    return response


async def _session(request: Request) -> tuple[str | None, SignedIn | None]:
    services = services_of(request)
    token = session_token(request.scope, services.settings.public_url)
    return token, None if token is None else await asyncio.to_thread(services.sessions.find, token)


async def _end_session_before(request: Request) -> None:
    """End the session that this browser had, whose cookie is about to be replaced."""
    services = services_of(request)
    if (token := session_token(request.scope, services.settings.public_url)) is not None:
        await asyncio.to_thread(services.sign_in.sign_out, token, visitor_of(request))


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


async def _body(request: Request, kind: type[R]) -> R:
    body = await read_body(request, MAX_BODY_BYTES)
    if not _is_form(request):
        return decode(body, kind)
    return convert(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), kind)
