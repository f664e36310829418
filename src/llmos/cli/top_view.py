"""The view of `llmos top`: two readings of a server's activity as a table."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmos.core.schemas.activity import ActivityDescription, ModelActivity

_BAR = 10
_MAX_ERRORS = 5
_STYLES = {"ready": "green", "loading": "yellow", "stuck": "red", "failed": "red"}


def render_activity(now: ActivityDescription, before: ActivityDescription | None, endpoint: str) -> RenderableType:
    """Return the view. `before`: an earlier reading, for rates; None for the first one."""
    title = Text.assemble(("llmos top", "bold"), f"  {endpoint}  {now.at:%H:%M:%S} UTC" if now.at else f"  {endpoint}")
    return Group(title, Text(), _summary(now, before), Text(), _models(now))


def _summary(now: ActivityDescription, before: ActivityDescription | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for style in ("dim", "", "dim", ""):
        table.add_column(style=style, no_wrap=True)
    num_asked = now.cache_hits + now.cache_misses
    hits = f"{now.cache_hits / num_asked:.0%} of {num_asked:,}" if num_asked else "–"
    prefix = f"{now.cached_prompt_tokens / now.prompt_tokens:.0%} of prompts" if now.prompt_tokens else "–"
    queued = sum(each.num_queued for each in now.models)
    rows = (
        ("calls running", f"{now.num_calls_running:,}", "output", _rate(now, before, "output_tokens", "tokens/s")),
        ("queued", f"{queued:,}", "prompts", _rate(now, before, "prompt_tokens", "tokens/s")),
        ("answered", _rate(now, before, "num_answered", "/s"), "prefix cache", prefix),
        ("failed", _rate(now, before, "num_failed", "/s"), "response cache", hits),
        ("spend this hour", _money(now.spend.hour), "last 24 hours", _money(now.spend.day)),
        ("errors", _errors(now.errors), "rejected", f"{now.num_rejected:,}"),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _models(now: ActivityDescription) -> RenderableType:
    if not now.models:
        return Text("No model is loaded. The first request loads one.", style="dim")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("model", "state", "replicas", "running", "waiting", "queued", "KV cache", "restarts"):
        table.add_column(heading)
    for each in now.models:
        table.add_row(
            each.version,
            Text(each.state, style=_STYLES.get(each.state, "dim")),
            f"{each.replicas_ready}/{each.replicas_wanted}",
            str(each.num_running),
            str(each.num_waiting),
            str(each.num_queued),
            _bar(each),
            str(each.restarts),
        )
    return table


def _rate(now: ActivityDescription, before: ActivityDescription | None, name: str, unit: str) -> str:
    """Return a count, and how fast it rises. A server that was started again counts from 0."""
    count = getattr(now, name)
    if before is None or now.at is None or before.at is None:
        return f"{count:,}"
    seconds = (now.at - before.at).total_seconds()
    rise = count - getattr(before, name)
    if seconds <= 0 or rise < 0:
        return f"{count:,}"
    return f"{rise / seconds:,.1f} {unit} ({count:,})" if unit != "/s" else f"{rise / seconds:,.1f}/s ({count:,})"


def _bar(model: ModelActivity) -> str:
    if model.kv_used is None:
        return "–"
    filled = round(model.kv_used * _BAR)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {model.kv_used:.0%}"


def _money(sums: Mapping[str, str]) -> str:
    return ", ".join(f"{cost} {currency}" for currency, cost in sums.items()) or "–"


def _errors(errors: Mapping[str, int]) -> str:
    most = sorted(errors.items(), key=lambda each: -each[1])[:_MAX_ERRORS]
    return ", ".join(f"{code} {count:,}" for code, count in most) or "none"
