"""/llmos/v1/roles: what the roles of keys and users may do."""

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.users import RoleDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.security.permissions import OWNER, Permission
from llmos.security.roles import ROLES, permissions_of

router = APIRouter(prefix="/llmos/v1/roles", tags=["users"])

_ANY_OTHER = "*"


class RoleDescriptions(msgspec.Struct):
    data: list[RoleDescription]


@router.get("", summary="List the roles", responses=openapi.answers(RoleDescriptions))
@requires(Permission.PROJECTS_READ)
async def list_roles(request: Request) -> Response:
    """With their permissions, the least powerful role first."""
    return json_response(RoleDescriptions([_describe(name) for name in ROLES]))


def _describe(name: str) -> RoleDescription:
    return RoleDescription(
        name=name,
        permissions=sorted(permissions_of(name, OWNER)),
        project_permissions=sorted(permissions_of(name, _ANY_OTHER)),
    )
