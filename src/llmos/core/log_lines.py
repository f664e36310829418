"""Lines of the server's log, as text for people."""

from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]
"""The fields of one line, in the order of the JSON."""


def render_text(event: Event) -> str:
    words = [event["time"], event["event"]]
    if event["event"] == "request":
        who = event["key"] if event["user"] is None else f"{event['key']}/{event['user']}"
        tokens = f"{event['prompt_tokens']}+{event['completion_tokens']} tokens"
        words += [event["id"], who, event["model"], "->", event["version"] or "nothing", event["operation"], tokens]
        words += [f"{event['seconds']:.2f} s", event["status"], event["error"] or ""]
        words += [f"invalid-tool-calls={event['warnings']}"] if event["warnings"] else []
        words += [_render_finding(found) for found in event["guardrails"]]
    elif event["event"] == "http":
        who = event["key"] or f"nobody@{event['address'] or 'unknown'}"
        words += [event["id"], who, event["method"], event["path"]]
        words += [f"{event['seconds']:.2f} s", event["status"], event["error"] or ""]
    elif event["event"] == "sign-in":
        words += [event["id"], event["user"] or "nobody", event["method"], event["outcome"]]
        words += [event["address"] or "", event["error"] or ""]
    elif event["event"] == "message":
        words += [event["level"], event["request"] or "", event["logger"], event["message"]]
    else:
        words += [event["deployment"], event["kind"], f"{event['actor'] or 'unknown'}:", event["reason"]]
    if "lost_lines" in event:
        words.append(f"({event['lost_lines']} lines before this one are lost)")
    return " ".join(_printable(str(word)) for word in words if word != "")


def _render_finding(found: Mapping[str, str]) -> str:
    return f"{found['verdict']}={found['policy']}/{found['guardrail']}:{found['rule']}:{found['side']}"


def _printable(text: str) -> str:
    """Escape what could look like another line: names and users come from callers."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
