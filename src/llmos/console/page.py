"""Page: what a file in pages/ declares: its name, who may see it, and what answers below its path."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from llmos.console.view import View

Handler = Callable[[View], Awaitable[Response]]
Fragments = Mapping[str, str]
"""The HTML inside elements of a page, by their ids."""
LiveHandler = Callable[[View], Awaitable[Fragments]]


@dataclass(kw_only=True)
class Page:
    """A page of the console.

    PAGE = Page(name="models", permission="models:read")

    @PAGE.get("/{name}")
    async def show_model(view: View) -> Response: ...
    """

    name: str
    """Its path below /console, and its key in the messages: nav.NAME."""
    permission: str = ""
    """The permission of visitors who see the page in the navigation; empty: all visitors."""
    path: str | None = None
    """The path, if it isn't the name."""
    home: str = ""
    """The path that a visitor is sent to who may not see the requested part; empty: the page's own first path."""
    in_navigation: bool = True
    tab: str = ""
    """Its key in the messages among the pages of the same name, which show one another as tabs."""
    handlers: list[tuple[str, str, Handler]] = field(default_factory=list)
    """Method, path and function."""
    live_handlers: list[tuple[str, LiveHandler]] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"/{self.name}" if self.path is None else self.path

    def get(self, path: str = "") -> Callable[[Handler], Handler]:
        """Answer GET below the page's path."""
        return self._on("GET", path)

    def post(self, path: str = "") -> Callable[[Handler], Handler]:
        """Answer POST. An error sends the browser back to the page, which shows it."""
        return self._on("POST", path)

    def live(self, path: str = "") -> Callable[[LiveHandler], LiveHandler]:
        """Keep elements of the page at `path` up to date: what the function returns is asked for again and again."""

        def register(handler: LiveHandler) -> LiveHandler:
            self.live_handlers.append((path, handler))
            return handler

        return register

    def _on(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.handlers.append((method, path, handler))
            return handler

        return register
