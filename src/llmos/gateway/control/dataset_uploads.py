"""/llmos/v1/dataset-uploads: files that arrive for an import, and what it would do with them."""

import asyncio

from fastapi import Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.datasets import PreviewDescription
from llmos.data.datasets import descriptions as describe
from llmos.data.datasets.importing import examine
from llmos.gateway.control.uploads_router import uploads_router
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.jobs.kinds.dataset_import import ENDPOINT, ImportFields, check_import, uploaded_layout
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = uploads_router(ENDPOINT, "dataset", Permission.DATASETS_WRITE, tag="datasets")

_EXAMPLE = {"files": [{"name": "support.jsonl", "digest": f"sha256:{'0' * 64}"}]}


@router.post(
    "/preview",
    summary="Show what an import of uploaded files would do",
    openapi_extra=openapi.body(ImportFields, _EXAMPLE),
    responses=openapi.answers(PreviewDescription),
)
@requires(Permission.DATASETS_READ)
async def preview_import(request: Request) -> Response:
    """The shape that is recognized, and the first two rows. Keeps nothing. A job of the kind `dataset_import` imports
    them."""
    body = await parse_body(request, ImportFields)
    check_import(body)
    if body.location is not None:
        raise BadRequest("Only uploaded files can be shown before they are imported.", param="location")
    project, uploads = caller_of(request).project, services_of(request).data.uploads

    def read() -> PreviewDescription:
        layout = uploaded_layout(uploads, project, body)
        return describe.describe_preview(examine(layout, body.options))

    return json_response(await asyncio.to_thread(read))
