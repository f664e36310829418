"""llmos handoff list, show, take, answer, close: questions that applications handed over to a person."""

import sys
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.handoffs import OPEN_STATES, HandoffDescription

_Id = Annotated[str, typer.Argument(metavar="HANDOFF", help="Its id: see `llmos handoff list`.")]

_FACTS = ("id", "app", "state", "session", "run", "taken_by", "answer", "reason", "ended_by", "created_at", "ended_at")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Answer the questions that applications passed to a person.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("take")(take)
    group.command("answer")(answer)
    group.command("close")(close)
    app.add_typer(group, name="handoff")


def list_(
    app: Annotated[str | None, typer.Option(help="Only questions of this application.", show_default=False)] = None,
    state: Annotated[str | None, typer.Option(help="open, taken, answered or closed.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also list answered and closed questions.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the questions that wait for a person, the newest first."""
    if state is not None and state not in (*OPEN_STATES, "answered", "closed"):
        raise BadRequest(f"There is no state {state[:80]!r}: open, taken, answered or closed.", param="state")
    with open_control(load_settings()) as control:
        found = control.handoffs.list(app=app, state=state)
    if state is None and not all_:
        found = [each for each in found if each.state in OPEN_STATES]
    if not found and not as_json:
        stderr().print("Nothing waits for a person.")
        return
    columns = {"id": "handoff", "app": "app", "state": "state", "taken_by": "taken by", "created_at": "since"}
    print_table(found, {**columns, "question": "question"}, as_json=as_json)


def show(id: _Id, as_json: options.AsJson = False) -> None:
    """Show a question with the conversation before it."""
    with open_control(load_settings()) as control:
        found = control.handoffs.get(id)
    if as_json:
        print_json(found)
        return
    print_facts({name: getattr(found, name) for name in _FACTS if getattr(found, name)})
    for message in [*found.messages, {"role": "user", "content": found.question}]:
        stdout().print(f"\n{message.get('role', '')}: {_text_of(message.get('content'))}", markup=False)


def take(id: _Id, as_json: options.AsJson = False) -> None:
    """Mark a question as taken by you."""
    with open_control(load_settings()) as control:
        _report(control.handoffs.take(id), f"You have taken {id}. To answer: llmos handoff answer {id}", as_json)


def answer(
    id: _Id,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The answer; without it, standard input.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Answer a question. The question and the answer become a turn of its session."""
    if text is None:
        if sys.stdin.isatty():
            stderr().print("Type the answer, and end it with Ctrl-D.")
        text = sys.stdin.read().strip()
    with open_control(load_settings()) as control:
        found = control.handoffs.answer(id, text)
    where = "Nobody's session has it." if found.turn is None else "The conversation has the answer."
    _report(found, f"Answered {id}. {where}", as_json)


def close(
    id: _Id,
    reason: Annotated[str, typer.Option(help="Why.", show_default=False)] = "",
    as_json: options.AsJson = False,
) -> None:
    """Close a question without an answer."""
    with open_control(load_settings()) as control:
        _report(control.handoffs.close(id, reason=reason), f"Closed {id}.", as_json)


def _report(found: HandoffDescription, text: str, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        stdout().print(text)


def _text_of(content: object) -> str:
    """Return the text of a message, whose content may be in parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
