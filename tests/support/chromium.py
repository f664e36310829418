"""A browser before the console: Debian's Chromium, which tells whatever a page should not do."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from support.real_server import KEY, Running

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


_PATIENCE_MS = 30_000
"""A test fails if something isn't there after this long: on a busy machine, a second is nothing."""


class Chromium:
    """A browser that several test files share, between which tests with event loops of their own may run.

    Playwright's event loop is marked as the thread's running one for as long as the browser is open, though it runs
    inside of Playwright's calls only. Another one can't run beside it, so the mark is taken away while no file uses the
    browser.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)

    @classmethod
    @contextmanager
    def begin(cls) -> Iterator["Chromium"]:
        """Start Chromium. Without one, the tests are skipped: apt-get install chromium."""
        path = shutil.which("chromium")
        if path is None:
            pytest.skip("There is no Chromium here. To install it: apt-get install chromium")
        with sync_playwright() as playwright:
            expect.set_options(timeout=_PATIENCE_MS)
            chromium = cls(playwright.chromium.launch(executable_path=path, args=[*_FLAGS]))
            try:
                yield chromium
            finally:
                asyncio._set_running_loop(chromium._loop)
                chromium._browser.close()

    @contextmanager
    def in_use(self) -> Iterator[Browser]:
        asyncio._set_running_loop(self._loop)
        try:
            yield self._browser
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium for one program."""
    with Chromium.begin() as chromium, chromium.in_use() as browser:
        yield browser


def _described(message: ConsoleMessage) -> str:
    """Return a message with where it comes from: that of a failed request doesn't say which one it was."""
    return f"{message.type}: {message.text} ({message.location.get('url', '')})"


HOSTILE = '"><img src=https://evil.example/x onerror=alert(1)><script>alert(2)</script>{{7*7}} ‮txt 🦙'
"""A text that runs, loads or breaks something wherever it isn't escaped."""


_Key = tuple[int, str, str, str]
"""A browser, the server's address, a user, and the options of the window."""
_sessions: dict[tuple[str, str], list[Any]] = {}
"""The cookies of users who have signed in, by the server's address and the user: the page after a link takes time."""
_free: dict[_Key, list[BrowserContext]] = {}
"""Windows that no visit uses: to make another one takes Chromium a quarter of a second of the processor."""


class Visit:
    """A browser window in which a user has signed in, and what went wrong in it.

    Example:
        with Visit.begin(browser, server, "ann") as visit:
            visit.open("/models")
    """

    def __init__(self, context: BrowserContext, server: Running) -> None:
        self.page: Page = context.new_page()
        self._url = server.url
        self.complaints: list[str] = []
        """The messages of the browser's console: errors of scripts, and violations of the content security policy."""
        self.other_hosts: list[str] = []
        """The requests to anywhere else."""
        self.page.on("console", lambda message: self.complaints.append(_described(message)))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._on_request)

    @classmethod
    @contextmanager
    def begin(cls, browser: Browser, server: Running, user: str, **options: Any) -> Iterator["Visit"]:
        """Open a window in which the user has signed in: with a link the first time, later with the session of then."""
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options}
        free = _free.setdefault((id(browser), server.url, user, str(options)), [])
        context = free.pop() if free else browser.new_context(**options)
        context.set_default_timeout(_PATIENCE_MS)
        visit = cls(context, server)
        visit._sign_in(user)
        yield visit
        for page in context.pages:
            page.close()
        visit.check()
        free.append(context)

    def check(self) -> None:
        """Fail if anything went wrong in the window."""
        # pytest explains no assertion of this file, so the message has what it needs.
        assert not self.complaints, "\n".join(["The browser's console says:", *self.complaints])
        assert not self.other_hosts, "\n".join(["The page asked other hosts:", *self.other_hosts])

    def open(self, path: str) -> Page:
        self.page.goto(f"{self._url}/console{path}")
        return self.page

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server as the user who has signed in, and return its JSON."""
        token = self.page.request.get(f"{self._url}/llmos/v1/session").json()["csrf_token"]
        reply = self.page.request.fetch(
            f"{self._url}{path}", method=method, data=body, headers={"X-CSRF-Token": token, "Origin": self._url}
        )
        assert reply.ok, reply.text()
        return reply.json() if reply.body() else None

    def _sign_in(self, user: str) -> None:
        """Open a link that signs the user in, as `llmos console` does, or go on with an earlier session."""
        context = self.page.context
        context.clear_cookies()
        if cookies := _sessions.get((self._url, user)):
            context.add_cookies(cookies)
            return
        import httpx

        headers = {"Authorization": f"Bearer {KEY}"}
        reply = httpx.post(f"{self._url}/llmos/v1/users/{user}/sign-in-link", headers=headers, json={})
        self.page.goto(f"{self._url}{reply.json()['path']}&next=/console/")
        self.page.wait_for_url(f"{self._url}/console/")
        _sessions[self._url, user] = [*context.cookies()]

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith("data:") and urlsplit(request.url).netloc != urlsplit(self._url).netloc:
            self.other_hosts.append(request.url)
