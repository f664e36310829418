"""The lines of a Finding, which a check of `llmos doctor` has made."""

from rich.text import Text

from llmos.core.schemas.doctor import Finding as Finding


def mark(*, ok: bool) -> Text:
    """Return the beginning of a line: ok, or FIX."""
    return Text("ok   ", style="green") if ok else Text("FIX  ", style="bold red")
