"""The console: web pages below /console. It speaks HTTP to the server with what the visitor's browser shows.

It knows neither the rooms nor the database, so it can do nothing that the API doesn't let the visitor do.

    pages/       a file for each page; pages/__init__.py lists them in the order of the navigation
    templates/   Jinja2, escaped everywhere      messages/   the texts, a file for each language
    static/      scripts and styles, and under vendor/ those of others; see vendored.json
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

CONSOLE_PATH = "/console"


def open_console() -> "ASGIApp":
    """Return the application to mount at CONSOLE_PATH."""
    from llmos.console.app import Console

    return Console()
