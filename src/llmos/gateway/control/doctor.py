"""/llmos/v1/doctor: checks of the server's machine and installation."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.doctor import DoctorReport
from llmos.gateway.doctor.server import examine_server
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/doctor", tags=["health"])


@router.get("", summary="Check the machine and the installation", responses=openapi.answers(DoctorReport))
@requires(Permission.DOCTOR_READ)
async def examine(request: Request) -> Response:
    """Runs the checks of `llmos doctor` on the server's machine, without reading the files of the store and without
    changing anything. A finding that isn't ok says what to do."""
    return json_response(await asyncio.to_thread(examine_server, services_of(request)))
