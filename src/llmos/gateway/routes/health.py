"""GET /health/live, /health/ready and /metrics: for whoever watches the server. /health asks for no key."""

from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from llmos.gateway import metrics, openapi
from llmos.gateway.services import Services

router = APIRouter(tags=["health"])


class Liveness(msgspec.Struct):
    status: Literal["live"] = "live"


class ModelState(msgspec.Struct):
    version: str
    state: str
    """loading, ready, failed or stopped."""


class ReadinessReport(msgspec.Struct):
    status: Literal["ready", "loading", "draining"]
    models: list[ModelState]
    """The models that the server was started for. Ready means that all of them are loaded."""


@router.get("/health/live", summary="Is the server up?", responses=openapi.answers(Liveness))
async def live() -> Response:
    return Response(b'{"status":"live"}', media_type="application/json")


@router.get("/health/ready", summary="Are its models loaded?", responses=openapi.answers(ReadinessReport))
async def ready(request: Request) -> Response:
    services: Services = request.app.state.services
    states = services.readiness.states(services.pool.status())
    is_loaded = all(state == "ready" for state in states.values())
    status: Literal["ready", "loading", "draining"] = "ready" if is_loaded else "loading"
    if services.readiness.is_draining:
        status = "draining"
    report = ReadinessReport(status, [ModelState(version, state) for version, state in states.items()])
    return Response(msgspec.json.encode(report), 200 if status == "ready" else 503, media_type="application/json")


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
async def get_metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    return Response(await run_in_threadpool(services.metrics.render), media_type=metrics.CONTENT_TYPE)
