"""The console for tests: joined to a scripted gateway, and visitors without scripts who sign in."""

import re

import httpx
from fastapi import FastAPI

from llmos.console import CONSOLE_PATH, open_console
from llmos.gateway.app import Mount, create_app
from llmos.gateway.services import Services

PASSWORD = "correct horse battery staple"


def console_app(services: Services) -> FastAPI:
    """Return the gateway with the console."""
    return create_app(services, mounts=[Mount(CONSOLE_PATH, open_console(), "console", asks_visitors=True)])


def browser_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a browser without scripts, in which nobody has signed in."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", follow_redirects=True)


async def sign_in(browser: httpx.AsyncClient, user: str) -> None:
    form = {"user": user, "password": PASSWORD, "next": "/console/models"}
    reply = await browser.post("/console/sign-in", data=form)
    assert reply.url.path == "/console/models", reply.text


async def csrf_of(browser: httpx.AsyncClient) -> str:
    """Return the token of the session, as the forms of a page have it."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await browser.get("/console/usage")).text)
    assert found is not None
    return found[1]


async def send(browser: httpx.AsyncClient, path: str, **fields: str) -> str:
    """Send a form as a page has it, and return the page that follows."""
    reply = await browser.post(f"/console{path}", data={"csrf_token": await csrf_of(browser), **fields})
    return reply.text
