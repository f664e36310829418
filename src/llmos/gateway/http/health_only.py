"""HealthOnly: lets requests to /health and /metrics through to an application, and refuses all others."""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from llmos.core.errors import NotFound
from llmos.gateway.http.errors import respond

_OPEN = ("/health/", "/metrics")


class HealthOnly:
    def __init__(self, app: FastAPI, refusal: str) -> None:
        """`refusal`: the message for all other requests."""
        self._app, self._refusal = app, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OPEN):
            await self._app(scope, receive, send)
        else:
            refusal = respond(NotFound(self._refusal), {**scope, "app": self._app})
            await refusal(scope, receive, send)
