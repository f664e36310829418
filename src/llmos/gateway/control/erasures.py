"""/llmos/v1/erasures: erase a person's data."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import NotFound
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH, Erasing
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission
from llmos.security.signing_key import SigningKey

router = APIRouter(prefix="/llmos/v1/erasures", tags=["erasures"])


class ErasureRequest(RequestObject, kw_only=True):
    subject: Annotated[str, Meta(min_length=1, max_length=MAX_SUBJECT_LENGTH)]
    """The person's name in requests: the value of `user`, `safety_identifier` or `metadata.user_id`."""
    project: str | None = None
    """The project. By default every project that the key may administer."""


@router.post(
    "",
    summary="Erase a person's data",
    openapi_extra=openapi.body(ErasureRequest, {"subject": "ann@example.com"}),
    responses=openapi.answers(ErasureCertificate),
)
@requires(Permission.ERASURES_WRITE, "erasure.create")
async def create_erasure(request: Request) -> Response:
    """Deletes the person's stored responses and their lines of batches, destroys their keys, refuses the same contents
    from now on, and returns a signed certificate. 409 while a batch with data of the person runs."""
    body, caller, services = await parse_body(request, ErasureRequest), caller_of(request), services_of(request)
    project = body.project
    if not caller.is_of_installation:
        if project not in (None, caller.project):
            raise NotFound(
                f"There is no project {project!r:.90}. The key belongs to {caller.project}.", param="project"
            )
        project = caller.project
    if project is not None:
        await asyncio.to_thread(services.projects.get, project)
    erasing = Erasing(
        services.data.files,
        services.data.datasets,
        services.data.knowledge,
        SigningKey(services.settings.signing_key_path),
    )
    return json_response(
        await asyncio.to_thread(lambda: erasing.forget(body.subject, project=project, actor=caller.actor))
    )
