"""Fifty projects in one console: no page and no live update shows anything of another one."""

import re
from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Scope

from llmos.console.api import Api
from llmos.console.app import Console
from llmos.console.pages import answers
from llmos.console.view import View
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.users import SessionDescription
from llmos.gateway.services import Services
from support.answers import facts
from support.console import PASSWORD, browser_of, sign_in

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

TENANTS = [f"tenant-{number:02}" for number in range(50)]


@pytest.fixture(scope="module", autouse=True)
def _something_of_each(services: Services) -> None:
    services.encryption.start()
    for name in TENANTS:
        services.projects.create(name)
        services.users.create(f"user-of-{name}", role="developer", project=name, password=PASSWORD)
        services.data.prompts.of(name).create(f"prompt-of-{name}", PromptText(f"Help {name}."), actor="test")
    with services.data.answers._database.plain_counting() as transaction:
        services.data.answers.add(transaction, [facts(f"answer-of-{name}", project=name) for name in TENANTS])


def seen(text: str) -> set[str]:
    """Return the tenants that a page names."""
    return set(re.findall(r"tenant-\d\d", text))


async def begin_live(console: Console, app: FastAPI, browser: httpx.AsyncClient) -> AsyncGenerator[bytes, None]:
    """Return the live updates of the page Answers."""
    session = SessionDescription(**(await browser.get("/llmos/v1/session")).json())
    headers = [(b"cookie", f"llmos_session={browser.cookies['llmos_session']}".encode())]
    scope: Scope = {
        "type": "http", "method": "GET", "path": "/console/live/answers", "query_string": b"", "scheme": "http",
        "headers": headers, "server": ("llmos", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    view = View(Request(scope), Api(app, scope, is_poll=True), session, "answers")
    return console._chunks(view, answers.watch_answers)


async def test_fifty_tenants_see_nothing_of_each_other(app: FastAPI) -> None:
    console = Console()
    open_pages = []
    for name, other in zip(TENANTS, [*TENANTS[1:], TENANTS[0]], strict=True):
        async with browser_of(app) as browser:
            await sign_in(browser, f"user-of-{name}")
            for page in ("/prompts", "/answers"):
                assert seen((await browser.get(f"/console{page}")).text) == {name}, page
            for page in (f"/prompts/prompt-of-{other}", f"/answers/answer-of-{other}"):
                assert (await browser.get(f"/console{page}")).status_code == 404, page
            found = (await browser.get(f"/console/answers?project={other}")).text
            assert ("sees answers for the project" in found, "/answers/answer-of" in found) == (True, False)
            updates = await begin_live(console, app, browser)
            assert seen((await anext(updates)).decode()) == {name}
            open_pages.append(updates)  # All of them are open at once.
    for updates in open_pages:
        await updates.aclose()
