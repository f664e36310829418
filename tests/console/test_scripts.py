"""The order in which a page loads its scripts."""

from pathlib import Path

import llmos.console

BASE = Path(llmos.console.__file__).parent / "templates" / "base.html"


def test_htmx_does_not_begin_before_its_extension_is_there() -> None:
    """A deferred htmx begins by a timer, and the page is never live if hx-sse arrives later."""
    text = BASE.read_text()
    tags = [line for line in text.splitlines() if "vendor/htmx" in line or "vendor/hx-sse" in line]
    assert ["defer" in tag or "async" in tag for tag in tags] == [False, False]
    assert text.index("{% block main %}") < text.index(tags[0]) < text.index(tags[1])
