"""/llmos/v1/records and /blobs: copy Versions between LLMOS servers. Only missing blobs are sent."""

import asyncio
import codecs
import re
from contextlib import ExitStack
from pathlib import Path

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.store.blobs import StoredFile
from llmos.core.store.store import Store
from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import openai_error
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.ranges import BINARY_BODY, read_range, receive
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import read_body
from llmos.gateway.services import services_of
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.records import VersionRecord, read_record
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["transfers"])

RECEIVED = "llmos-received"
"""Header: the number of bytes of an incomplete blob that have arrived."""

_MAX_RECORD_BYTES = 4 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Missing(msgspec.Struct):
    """Upload these blobs first."""

    missing: list[str]
    """Digests."""


class StoredVersion(msgspec.Struct):
    version: str
    digest: str


_RECORD = openapi.answers(VersionRecord)
_RECORD_EXAMPLE = {
    "model": "tiny",
    "digest": f"sha256:{'0' * 64}",
    "files": [{"name": "tiny.gguf", "digest": f"sha256:{'1' * 64}", "size": 12_345_678}],
    "created_at": "2026-03-03T12:00:00Z",
    "source": "import:/models/tiny.gguf",
    "license": "mit",
}
_RECORD_BODY = openapi.body(VersionRecord, _RECORD_EXAMPLE)


@router.get("/records/{ref:path}", summary="Read the record of a Version", responses=_RECORD)
@requires(Permission.MODELS_READ)
async def get_record(request: Request, ref: str) -> Response:
    """`ref` is a reference or a Route."""
    version = await asyncio.to_thread(services_of(request).routes.resolve_local, ref)
    return json_response(await asyncio.to_thread(Transfers(services_of(request).registry).record_of, version))


@router.put(
    "/records/{ref:path}",
    summary="Store a Version whose blobs are stored",
    openapi_extra=_RECORD_BODY,
    status_code=201,
    responses=openapi.answers(StoredVersion, status=201, also={202: Missing}),
)
@requires(Permission.MODELS_WRITE, "model.push")
async def put_record(request: Request, ref: str) -> Response:
    """`ref` is the model's name, the body a record. 202 lists the digests of the missing blobs: upload those, then
    repeat the request."""
    record = read_record((await read_body(request, _MAX_RECORD_BYTES)).removeprefix(codecs.BOM_UTF8))
    source = f"llmos:pushed from {request.client.host if request.client else 'somewhere'}"
    stored = await asyncio.to_thread(Transfers(services_of(request).registry).accept, record, ref, source)
    if isinstance(stored, list):
        return json_response(Missing(stored), 202)
    return json_response(StoredVersion(stored.ref, stored.digest), 201)


@router.get(
    "/blobs/{digest}",
    summary="Download a blob, or a range of it",
    response_class=Response,
    responses={
        200: {"description": "The blob", "content": {"application/octet-stream": {}}},
        206: {"description": "The range", "content": {"application/octet-stream": {}}},
    },
)
@requires(Permission.MODELS_READ)
async def get_blob(request: Request, digest: str) -> Response:
    """A 404 has the header llmos-received: the number of bytes that have arrived of an incomplete blob. An encrypted
    blob is a 409: it would leave in the clear."""
    store = services_of(request).registry.store
    path = store.blob_path(_checked(digest))
    if isinstance(path, SealedPath):
        raise Conflict(
            f"{digest} is encrypted on this server, which doesn't send it unencrypted. On the server's machine,"
            " run `llmos push --decrypt` or `llmos export --decrypt`."
        )
    if await asyncio.to_thread(path.is_file):
        return FileResponse(path, media_type="application/octet-stream")
    num_received = await asyncio.to_thread(store.num_received, digest)
    missing = NotFound(f"There is no blob {digest}.")
    return Response(
        msgspec.json.encode(openai_error(missing)),
        missing.status,
        headers={RECEIVED: str(num_received)},
        media_type="application/json",
    )


@router.put(
    "/blobs/{digest}", summary="Upload a blob, or continue its upload", openapi_extra=BINARY_BODY, status_code=204
)
@requires(Permission.MODELS_WRITE, "blob.upload")
async def put_blob(request: Request, digest: str) -> Response:
    """Content-Range gives the bytes of the body, which reaches to the blob's end: `bytes FIRST-LAST/SIZE`, or
    `bytes */0`. Bytes that arrive before the connection breaks are kept. GET tells how many: continue from there."""
    found = read_range(request, "blob")
    if found.end != found.size:
        raise BadRequest("Send the whole rest of the blob: LAST in Content-Range must be its last byte.")
    file = StoredFile(digest, _checked(digest), found.size)
    store = services_of(request).registry.store
    with ExitStack() as held:
        part = (await asyncio.to_thread(held.enter_context, store.receiving([file]))).get(file)
        if part is not None:
            await asyncio.to_thread(store.check_room, file.size - found.first, file.digest)
            num_received = await receive(request, part, found, file.digest)
            if num_received == file.size:
                await asyncio.to_thread(_publish, store, part, file)
    return Response(status_code=204)


def _publish(store: Store, part: Path, file: StoredFile) -> None:
    with store.publishing():
        store.publish(part, file)


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise BadRequest(f"{digest[:80]!r} is not a digest: sha256: and 64 hexadecimal digits.", param="digest")
    return digest
