"""An application with the endpoints of models alone, over a pipeline: for work without a server. Nothing listens."""

from dataclasses import dataclass

from fastapi import FastAPI

from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import errors
from llmos.gateway.wires.llmos.likelihood import endpoints as likelihood
from llmos.gateway.wires.openai.chat import endpoints as chat
from llmos.gateway.wires.openai.embeddings import endpoints as embeddings


@dataclass(frozen=True, slots=True)
class _Services:
    """The parts of gateway.services.Services that these endpoints need."""

    pipeline: Pipeline


def inference_app(pipeline: Pipeline) -> FastAPI:
    """Return chat completions, embeddings and likelihood. Requests bring their caller; see internal_requests.py."""
    app = FastAPI(openapi_url=None)
    for module in (chat, embeddings, likelihood):
        app.router.routes.extend(module.router.routes)
    app.state.services = _Services(pipeline)
    app.state.error_formats = []
    errors.install(app)
    return app
