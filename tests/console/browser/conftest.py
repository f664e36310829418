"""Chromium before the real server with the real model, and users who have signed in."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.chromium import HOSTILE, Chromium, Visit
from support.real_server import Running, ask


@pytest.fixture(scope="session")
def chromium_of_all() -> Iterator[Chromium]:
    with Chromium.begin() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def browser(chromium_of_all: Chromium) -> Iterator[Browser]:
    """The browser of all tests here; between two files, other tests may run event loops of their own."""
    with chromium_of_all.in_use() as browser:
        yield browser


@pytest.fixture(scope="session")
def server(console_server: Running) -> Running:
    """The server of all tests here: what a test makes there has a name of its own, or goes at the test's end."""
    ask(console_server, "POST", "/llmos/v1/projects", {"name": "acme"})
    ask(console_server, "POST", "/llmos/v1/users", {"name": "ann", "role": "owner"})
    ask(console_server, "POST", "/llmos/v1/users", {"name": "bob", "role": "developer", "project": "acme"})
    label = {"description": HOSTILE, "tags": {"note": HOSTILE[:60]}}
    ask(console_server, "PATCH", "/llmos/v1/models/smollm2@1/labels", label)
    return console_server


@pytest.fixture
def ann(browser: Browser, server: Running) -> Iterator[Visit]:
    with Visit.begin(browser, server, "ann") as visit:
        yield visit


@pytest.fixture(scope="module")
def looking(browser: Browser, server: Running) -> Iterator[Visit]:
    """A window for pages that are only looked at: it keeps their scripts."""
    with Visit.begin(browser, server, "ann") as visit:
        yield visit
