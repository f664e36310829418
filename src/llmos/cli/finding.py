"""Finding: what a check of `llmos doctor` found, and its lines."""

from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    ok: bool
    found: str
    advice: str = ""
    """The remedy, also for something that works but could work better."""


def mark(*, ok: bool) -> Text:
    """Return the beginning of a line: ok, or FIX."""
    return Text("ok   ", style="green") if ok else Text("FIX  ", style="bold red")
