"""/llmos/v1/activity: what this server does now."""

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.activity import ActivityDescription
from llmos.gateway.activity import describe_activity
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/activity", tags=["metrics"])


@router.get("", summary="Describe what runs now", responses=openapi.answers(ActivityDescription))
@requires(Permission.METRICS_READ)
async def get_activity(request: Request) -> Response:
    """Models, calls and queues of the server that is asked, its counts since its start, and what calls cost this hour
    and in the last 24. Two readings give rates."""
    return json_response(await describe_activity(services_of(request)))
