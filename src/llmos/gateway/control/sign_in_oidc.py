"""/llmos/v1/sign-in/oidc: a session that an OpenID provider vouches for. Visited by browsers, which get pages."""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from llmos.core.errors import LLMOSError, NotFound
from llmos.gateway.control.sign_in import visitor_of
from llmos.gateway.http.session_cookies import is_secure, set_session_cookie
from llmos.gateway.http.sign_in_page import onward_page, safe_next, sign_in_page
from llmos.gateway.services import Services, services_of
from llmos.security.oidc.flow import CALLBACK_PATH, MAX_AGE, OidcFlow, Pending, Reply, read_pending

router = APIRouter(prefix="/llmos/v1/sign-in/oidc", tags=["sign-in"])

_NAME = "llmos_oidc"


@router.get("", include_in_schema=False)
async def begin_sign_in(request: Request) -> Response:
    """Send the browser to the provider. `?next=`: the path that it goes to afterwards."""
    services, next = services_of(request), safe_next(request.query_params.get("next"))
    flow = _flow(services)
    try:
        url, pending = await asyncio.get_running_loop().run_in_executor(flow.threads, flow.begin, next)
    except LLMOSError as error:
        return sign_in_page(next, has_oidc=True, problem=error.message, status=error.status)
    response = RedirectResponse(url, 303, {"Cache-Control": "no-store"})
    _set_cookie(response, request, pending)
    return response


@router.get("/callback", include_in_schema=False)
async def finish_sign_in(request: Request) -> Response:
    """Finish a sign-in: the provider sends the browser back here."""
    services, query = services_of(request), request.query_params
    flow, visitor = _flow(services), visitor_of(request)
    pending = read_pending(request.cookies.get(_cookie_name(request)))
    reply = Reply(
        state=query.get("state", ""),
        code=query.get("code", ""),
        error=query.get("error", ""),
        issuer=query.get("iss"),
    )
    next = safe_next(None if pending is None else pending.next)
    loop = asyncio.get_running_loop()
    try:
        if pending is not None:
            await loop.run_in_executor(flow.threads, services.sign_in.begin_identity, visitor)
        identity = await loop.run_in_executor(flow.threads, flow.finish, pending, reply)
    except LLMOSError as error:
        services.sign_in.refuse("oidc", error, visitor)
        response = sign_in_page(next, has_oidc=True, problem=error.message, status=error.status)
    else:
        try:
            _, token = await loop.run_in_executor(flow.threads, services.sign_in.with_identity, identity, visitor)
        except LLMOSError as error:
            response = sign_in_page(next, has_oidc=True, problem=error.message, status=error.status)
        else:
            response = onward_page(next)
            set_session_cookie(response, request, token, services.settings.public_url)
    _set_cookie(response, request, None)
    return response


def _flow(services: Services) -> OidcFlow:
    if services.oidc is None:
        raise NotFound("This server has no OpenID provider. Set LLMOS_OIDC_ISSUER; see docs/sign-in.md.")
    return services.oidc


def _set_cookie(response: Response, request: Request, pending: Pending | None) -> None:
    """Keep a sign-in that has begun in the browser, or remove it. Lax: the provider's page leads back here."""
    response.set_cookie(
        _cookie_name(request),
        "" if pending is None else pending.encoded(),
        max_age=0 if pending is None else int(MAX_AGE.total_seconds()),
        httponly=True,
        secure=is_secure(request.scope, services_of(request).settings.public_url),
        samesite="lax",
    )


def _cookie_name(request: Request) -> str:
    secure = is_secure(request.scope, services_of(request).settings.public_url)
    return f"__Host-{_NAME}" if secure else _NAME


assert f"{router.prefix}/callback" == CALLBACK_PATH, "the provider knows the address"
