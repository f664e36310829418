"""GET /health/live, /health/ready, /health/identity and /metrics. /health needs no key."""

from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from llmos.core.errors import BadRequest
from llmos.core.server_proof import CHALLENGE_HEADER, CHALLENGE_PATTERN, PROOF_HEADER, is_challenge
from llmos.gateway import metrics
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(tags=["health"])


class Liveness(msgspec.Struct):
    status: Literal["live"] = "live"


class ModelState(msgspec.Struct, omit_defaults=True):
    version: str
    state: str
    """loading, ready, stuck, failed or stopped. A stopped model is loaded by the next request for it."""
    reason: str | None = None
    """Why it can't answer now."""


class ReadinessReport(msgspec.Struct):
    status: Literal["ready", "unready", "draining"]
    models: list[ModelState]
    """The models that the server was started with. The server is ready if none of them has a reason not to be."""


@router.get("/health/live", summary="Is the server up?", responses=openapi.answers(Liveness))
async def live() -> Response:
    return Response(b'{"status":"live"}', media_type="application/json")


@router.get(
    "/health/ready",
    summary="Are its models loaded?",
    responses=openapi.answers(ReadinessReport, also={503: ReadinessReport}),
)
async def ready(request: Request) -> Response:
    services = services_of(request)
    models = await services.model_readiness()
    status: Literal["ready", "unready", "draining"] = "unready" if any(model.reason for model in models) else "ready"
    if services.readiness.is_draining:
        status = "draining"
    report = ReadinessReport(status, [ModelState(model.version, model.state, model.reason) for model in models])
    return Response(msgspec.json.encode(report), 200 if status == "ready" else 503, media_type="application/json")


_CHALLENGE = {
    "name": CHALLENGE_HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": CHALLENGE_PATTERN},
}
_PROOF = {"description": "HMAC-SHA256 of the challenge and the port", "schema": {"type": "string"}}


@router.get(
    "/health/identity",
    summary="Does this server have the key? Asked before a client sends it",
    status_code=204,
    openapi_extra={"parameters": [_CHALLENGE]},
    responses={204: {"description": "The proof, in a header", "headers": {PROOF_HEADER: _PROOF}}},
)
async def identity(request: Request) -> Response:
    """Answer the header `llmos-challenge` (32 to 128 hexadecimal digits) with the header `llmos-proof`."""
    challenge = request.headers.get(CHALLENGE_HEADER, "")
    if not is_challenge(challenge):
        raise BadRequest(
            f"The header {CHALLENGE_HEADER} must have 32 to 128 hexadecimal digits.", param=CHALLENGE_HEADER
        )
    _, port = request.scope["server"]
    return Response(status_code=204, headers={PROOF_HEADER: services_of(request).owner_key.prove(challenge, port or 0)})


@router.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
@requires(Permission.METRICS_READ)
async def get_metrics(request: Request) -> Response:
    services = services_of(request)
    return Response(await run_in_threadpool(services.metrics.render), media_type=metrics.CONTENT_TYPE)
