"""The calls about sessions, runs and handoffs: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from llmos.client.call import Call, json_object, read_as, read_each, read_nothing, read_one
from llmos.client.draft import MalformedReply
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.runs import RunCount, RunDescription, StepDescription
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription

_SESSIONS = "/llmos/v1/sessions"
_RUNS = "/llmos/v1/runs"
_HANDOFFS = "/llmos/v1/handoffs"


@dataclass(frozen=True, slots=True)
class Written:
    """The state of the journal after a write."""

    run: RunDescription
    """Without its steps."""
    steps: Sequence[StepDescription]
    """The states of the entries' steps."""


def open_session(app: str, name: str, user: str) -> Call[AppSessionDescription]:
    body = {"app": app, "name": name, **({"user": user} if user else {})}
    return Call(method="POST", path=_SESSIONS, body=body, read=read_one(AppSessionDescription))


def list_sessions(app: str | None, after: str | None, limit: int) -> Call[list[AppSessionDescription]]:
    query = _query(app=app, after=after, limit=limit)
    return Call(method="GET", path=f"{_SESSIONS}?{query}", read=read_each(AppSessionDescription))


def get_session(id: str) -> Call[AppSessionDescription]:
    return Call(method="GET", path=_path(_SESSIONS, id), read=read_one(AppSessionDescription))


def remove_session(id: str) -> Call[None]:
    return Call(method="DELETE", path=_path(_SESSIONS, id), read=read_nothing)


def read_turns(id: str, first: int, before: int | None, limit: int) -> Call[list[TurnDescription]]:
    query = _query(first=first, before=before, limit=limit)
    return Call(method="GET", path=f"{_path(_SESSIONS, id)}/turns?{query}", read=read_each(TurnDescription))


def append_turn(id: str, messages: Sequence[Mapping[str, Any]]) -> Call[AppSessionDescription]:
    body = {"messages": list(messages)}
    return Call(method="POST", path=f"{_path(_SESSIONS, id)}/turns", body=body, read=read_one(AppSessionDescription))


def set_window(id: str, first_turn: int, summary: str | None) -> Call[AppSessionDescription]:
    body = {"first_turn": first_turn, "summary": summary}
    return Call(method="PUT", path=f"{_path(_SESSIONS, id)}/window", body=body, read=read_one(AppSessionDescription))


def begin_run(fields: Mapping[str, Any]) -> Call[RunDescription]:
    return Call(method="POST", path=_RUNS, body=fields, read=read_one(RunDescription))


def list_runs(**fields: Any) -> Call[list[RunDescription]]:
    return Call(method="GET", path=f"{_RUNS}?{_query(**fields)}", read=read_each(RunDescription))


def count_runs() -> Call[list[RunCount]]:
    return Call(method="GET", path=f"{_RUNS}/counts", read=read_each(RunCount))


def get_run(id: str, **part: Any) -> Call[RunDescription]:
    query = _query(**part)
    return Call(method="GET", path=_path(_RUNS, id) + (f"?{query}" if query else ""), read=read_one(RunDescription))


def remove_run(id: str) -> Call[None]:
    return Call(method="DELETE", path=_path(_RUNS, id), read=read_nothing)


def claim_run(id: str, lease: str, lease_seconds: float) -> Call[RunDescription]:
    body = {"lease": lease, "lease_seconds": lease_seconds}
    return Call(method="POST", path=f"{_path(_RUNS, id)}/claim", body=body, read=read_one(RunDescription))


def write_journal(id: str, fields: Mapping[str, Any]) -> Call[Written]:
    return Call(method="POST", path=f"{_path(_RUNS, id)}/journal", body=fields, read=_read_written)


def signal_run(id: str, name: str, value: Any) -> Call[RunDescription]:
    path = f"{_path(_RUNS, id)}/signals/{quote(name, safe='')}"
    return Call(method="POST", path=path, body={"value": value}, read=read_one(RunDescription))


def resolve_step(id: str, step: str, has_happened: bool, result: Any) -> Call[RunDescription]:
    body = {"step": step, "has_happened": has_happened, "result": result}
    return Call(method="POST", path=f"{_path(_RUNS, id)}/resolve", body=body, read=read_one(RunDescription))


def cancel_run(id: str) -> Call[RunDescription]:
    return Call(method="POST", path=f"{_path(_RUNS, id)}/cancel", read=read_one(RunDescription))


def create_handoff(fields: Mapping[str, Any]) -> Call[HandoffDescription]:
    body = {name: value for name, value in fields.items() if value not in (None, "")}
    return Call(method="POST", path=_HANDOFFS, body=body, read=read_one(HandoffDescription))


def list_handoffs(**fields: Any) -> Call[list[HandoffDescription]]:
    return Call(method="GET", path=f"{_HANDOFFS}?{_query(**fields)}", read=read_each(HandoffDescription))


def get_handoff(id: str) -> Call[HandoffDescription]:
    return Call(method="GET", path=_path(_HANDOFFS, id), read=read_one(HandoffDescription))


def take_handoff(id: str) -> Call[HandoffDescription]:
    return Call(method="POST", path=f"{_path(_HANDOFFS, id)}/take", read=read_one(HandoffDescription))


def answer_handoff(id: str, text: str) -> Call[HandoffDescription]:
    path = f"{_path(_HANDOFFS, id)}/answer"
    return Call(method="POST", path=path, body={"text": text}, read=read_one(HandoffDescription))


def close_handoff(id: str, reason: str) -> Call[HandoffDescription]:
    path = f"{_path(_HANDOFFS, id)}/close"
    return Call(method="POST", path=path, body={"reason": reason}, read=read_one(HandoffDescription))


def _read_written(body: Any) -> Written:
    body = json_object(body)
    steps = body.get("steps")
    if not isinstance(steps, list):
        raise MalformedReply
    run = read_as(RunDescription, json_object(body.get("run")))
    return Written(run, [read_as(StepDescription, json_object(each)) for each in steps])


def _path(root: str, id: str) -> str:
    return f"{root}/{quote(id, safe='')}"


def _query(**fields: Any) -> str:
    given = {name: value for name, value in fields.items() if value is not None}
    return urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()})
