"""/llmos/v1/users: people who sign in. Keys and users of the project `owner` manage those of all projects."""

import asyncio
from contextvars import copy_context
from functools import partial

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.users import SignedOutDescription, SignInLinkDescription, UserDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.open_paths import LINK_PATH
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import OWNER, Permission
from llmos.security.roles import DEFAULT_ROLE
from llmos.security.users.descriptions import describe_user
from llmos.security.users.users import User

router = APIRouter(prefix="/llmos/v1/users", tags=["users"])


class UserRequest(RequestObject, kw_only=True):
    name: str
    role: str = DEFAULT_ROLE
    """viewer, developer, operator or owner."""
    project: str = OWNER
    password: str | None = None
    """At least 12 characters. Without one, the user can't sign in until there is one."""


class PasswordRequest(RequestObject, kw_only=True):
    password: str
    """At least 12 characters."""


class RoleRequest(RequestObject, kw_only=True):
    role: str
    project: str | None = None
    """By default it stays."""


class UsersQuery(RequestObject, kw_only=True):
    project: str | None = None


class UserDescriptions(msgspec.Struct):
    data: list[UserDescription]


@router.post(
    "",
    summary="Create a user",
    openapi_extra=openapi.body(UserRequest, {"name": "ann", "role": "operator"}),
    responses=openapi.answers(UserDescription),
)
@requires(Permission.USERS_WRITE, "user.create")
async def create_user(request: Request) -> Response:
    """409 for a name that is or was taken."""
    body, services, actor = await parse_body(request, UserRequest), services_of(request), caller_of(request).actor
    created = await asyncio.get_running_loop().run_in_executor(
        services.sign_in.threads,
        partial(
            copy_context().run,  # The audit log's entry is stored by the same transaction.
            partial(
                services.users.create,
                body.name,
                role=body.role,
                project=body.project,
                password=body.password,
                actor=actor,
            ),
        ),
    )
    return json_response(describe_user(created))


@router.get(
    "", summary="List the users", openapi_extra=openapi.query(UsersQuery), responses=openapi.answers(UserDescriptions)
)
@requires(Permission.USERS_READ)
async def list_users(request: Request) -> Response:
    """`?project=` selects."""
    services, project = services_of(request), parse_query(request, UsersQuery).project
    users, counts = await asyncio.to_thread(lambda: (services.users.list(project), services.sessions.counts()))
    return json_response(UserDescriptions([describe_user(user, counts.get(user.name, 0)) for user in users]))


@router.get("/{name}", summary="Describe a user", responses=openapi.answers(UserDescription))
@requires(Permission.USERS_READ)
async def get_user(request: Request, name: str) -> Response:
    services = services_of(request)
    return await _reply(services, await asyncio.to_thread(services.users.get, name))


@router.put(
    "/{name}/password",
    summary="Give a user another password",
    openapi_extra=openapi.body(PasswordRequest, {"password": "correct horse battery staple"}),
    responses=openapi.answers(UserDescription),
)
@requires(Permission.USERS_WRITE, "user.set_password")
async def set_password(request: Request, name: str) -> Response:
    """Ends the user's sessions. 409 for a user of an OIDC provider."""
    body, services = await parse_body(request, PasswordRequest), services_of(request)
    changed = await asyncio.get_running_loop().run_in_executor(
        services.sign_in.threads, copy_context().run, services.users.set_password, name, body.password
    )
    return await _reply(services, changed)


@router.put(
    "/{name}/role",
    summary="Give a user another role",
    openapi_extra=openapi.body(RoleRequest, {"role": "viewer"}),
    responses=openapi.answers(UserDescription),
)
@requires(Permission.USERS_WRITE, "user.set_role")
async def set_role(request: Request, name: str) -> Response:
    """It counts for sessions that there are already. 409 for a user of an OIDC provider, whose groups decide."""
    body, services = await parse_body(request, RoleRequest), services_of(request)
    changed = await asyncio.to_thread(lambda: services.users.set_role(name, body.role, project=body.project))
    return await _reply(services, changed)


@router.post("/{name}/disable", summary="Keep a user out", responses=openapi.answers(UserDescription))
@requires(Permission.USERS_WRITE, "user.disable")
async def disable_user(request: Request, name: str) -> Response:
    """Ends the user's sessions."""
    services, actor = services_of(request), caller_of(request).actor
    return await _reply(services, await asyncio.to_thread(lambda: services.users.disable(name, actor=actor)))


@router.post("/{name}/enable", summary="Let a disabled user in again", responses=openapi.answers(UserDescription))
@requires(Permission.USERS_WRITE, "user.enable")
async def enable_user(request: Request, name: str) -> Response:
    services = services_of(request)
    return await _reply(services, await asyncio.to_thread(services.users.enable, name))


@router.post("/{name}/sign-out", summary="End all sessions of a user", responses=openapi.answers(SignedOutDescription))
@requires(Permission.USERS_WRITE, "user.sign_out")
async def sign_user_out(request: Request, name: str) -> Response:
    services = services_of(request)
    user = await asyncio.to_thread(services.users.get, name)
    num_ended = await asyncio.to_thread(services.sessions.end_all, user.name)
    return json_response(SignedOutDescription(name=user.name, num_sessions=num_ended))


@router.post(
    "/{name}/sign-in-link",
    summary="Make a link that signs a user in, once",
    responses=openapi.answers(SignInLinkDescription),
)
@requires(Permission.USERS_WRITE, "user.link")
async def create_sign_in_link(request: Request, name: str) -> Response:
    """Create a link for one sign-in. The first who opens it within five minutes is signed in as the user."""
    services = services_of(request)

    def create() -> SignInLinkDescription:
        user = services.users.get(name)
        token, expires_at = services.sessions.begin_link(user)
        return SignInLinkDescription(user=user.name, path=f"{LINK_PATH}?token={token}", expires_at=expires_at)

    return json_response(await asyncio.to_thread(create))


@router.delete("/{name}", summary="Remove a user", status_code=204)
@requires(Permission.USERS_WRITE, "user.remove")
async def remove_user(request: Request, name: str) -> Response:
    """Ends the user's sessions. The name stays taken."""
    services, actor = services_of(request), caller_of(request).actor
    await asyncio.to_thread(lambda: services.users.remove(name, actor=actor))
    return Response(status_code=204)


async def _reply(services: Services, user: User) -> Response:
    counts = await asyncio.to_thread(services.sessions.counts)
    return json_response(describe_user(user, counts.get(user.name, 0)))
