"""llmos answer list, show: the facts of answers that were given."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.core.schemas.answers import AnswerDetails, AnswerSummary, AnswerTimings

_COLUMNS = {
    "at": "accepted",
    "id": "answer",
    "key_id": "key",
    "version": "answered by",
    "outcome": "outcome",
    "tokens": "tokens",
    "seconds": "seconds",
    "cost": "cost",
}

_STAGES = ("guardrails", "load", "queue", "prefill", "decode")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Show past answers: times, tokens, costs, outcomes.")
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="answer")


def list_(
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this key.")] = None,
    user: Annotated[str | None, typer.Option(help="Only those for this end user.")] = None,
    model: Annotated[str | None, typer.Option(help="Only those by this model, or this version of it.")] = None,
    route: Annotated[str | None, typer.Option(help="Only those of this route.")] = None,
    app: Annotated[str | None, typer.Option(help="Only those for this application.")] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this run of an application.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="answered, blocked, cached, cancelled, failed or refused.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="The strictest verdict of guardrails: flag, redact or block.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="24h or 7d ago, or a date.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="The end (exclusive): 24h or 7d ago, or a date.")
    ] = None,
    min_cost: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Only those that cost this or more.")] = None,
    min_output_tokens: Annotated[
        int | None, typer.Option(metavar="COUNT", min=0, help="Only those with this many tokens or more.")
    ] = None,
    min_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Only those that took this long or longer.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Only those whose stored conversation has all these words.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The number of answers, 1000 at most.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="NEXT", help="Continue a list.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List answers, newest first. An answer must match all given options."""
    from llmos.cli.times import parse_period

    first, last = parse_period(since, until)
    with open_control(load_settings()) as control:
        page = control.answers.list(
            project=project,
            key=key,
            user=user,
            model=model,
            route=route,
            app=app,
            run=run,
            outcome=outcome,
            verdict=verdict,
            since=first,
            until=last,
            min_cost=min_cost,
            min_output_tokens=min_output_tokens,
            min_seconds=min_seconds,
            text=text,
            after=after,
            limit=limit,
        )
    if as_json:
        print_json(page)
        return
    if page.data:
        columns = _COLUMNS | ({"excerpt": "text"} if text else {})
        print_table([_row(each) for each in page.data], columns)
    elif page.next is None:
        stderr().print("There are no such answers.")
    if page.next is not None:
        stderr().print(f"There may be more: --after {page.next}")


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of the answer, or of its request.")],
    as_json: options.AsJson = False,
) -> None:
    """Show the details of an answer: times, tokens, cost, receipt, verdicts, and its text if it is stored."""
    with open_control(load_settings()) as control:
        found = control.answers.get(id)
    if as_json:
        print_json(found)
        return
    print_facts(_facts(found))
    if found.text is not None:
        stdout().print(_text(found.text.output))


def _at_providers(answer: "AnswerDetails") -> str | None:
    """Return what its attempts at providers cost there, with what can't be right."""
    costs = [
        f"{each.version}: {_cost(each.cost, each.currency) or 'unknown'}"
        + (f" ({', '.join(each.differences)})" if each.differences else "")
        for each in answer.provider_calls
    ]
    return "; ".join(costs) or None


def _row(answer: "AnswerSummary") -> dict[str, Any]:
    return {
        "at": answer.at,
        "id": answer.id,
        "key_id": answer.key_id,
        "version": answer.version or answer.asked,
        "outcome": answer.outcome + (f" ({answer.error})" if answer.error else ""),
        "tokens": f"{answer.input_tokens}+{answer.output_tokens}",
        "seconds": f"{answer.timings.total:.2f}",
        "cost": _cost(answer.cost, answer.currency),
        "excerpt": answer.excerpt,
    }


def _facts(answer: "AnswerDetails") -> dict[str, Any]:
    receipt = answer.receipt
    guardrails = {} if receipt is None else receipt.guardrails
    return {
        "answer": answer.id,
        "request": answer.request_id or None,
        "accepted": answer.at,
        "project": answer.project,
        "key": answer.key_id,
        "user": answer.user or None,
        "app": answer.app or None,
        "asked": answer.asked,
        "route": answer.route or None,
        "answered by": answer.version or None,
        "attempts": answer.num_attempts if answer.num_attempts > 1 else None,
        "outcome": answer.outcome + (f" ({answer.error})" if answer.error else ""),
        "tokens": f"{answer.input_tokens} input ({answer.cached_input_tokens} cached), {answer.output_tokens} output",
        "time": _times(answer.timings),
        "first token": None if answer.timings.first_token is None else f"{answer.timings.first_token:.3f} s",
        "replica": f"{answer.timings.replica:.3f} s" if answer.timings.replica else None,
        "cost": _cost(answer.cost, answer.currency),
        "at providers": _at_providers(answer),
        "price version": answer.price_version,
        "verdict": answer.verdict or None,
        "policies": [f"{each['name']}@{each['version']}" for each in guardrails.get("policies", [])] or None,
        "findings": [f"{each['guardrail']}: {each['verdict']}" for each in guardrails.get("findings", [])] or None,
        "receipt": _receipt(answer),
    }


def _times(timings: "AnswerTimings") -> str:
    stages = [f"{name} {getattr(timings, name):.3f} s" for name in _STAGES if getattr(timings, name)]
    return f"{timings.total:.3f} s" + (f": {', '.join(stages)}" if stages else "")


def _receipt(answer: "AnswerDetails") -> str:
    if answer.receipt is None:
        return "none"
    return f"signed by {answer.receipt.key}" if answer.is_receipt_valid else "NOT what this server has signed"


def _cost(cost: str | None, currency: str) -> str | None:
    return None if cost is None else f"{cost} {currency}"


def _text(output: list[Any]) -> str:
    parts = [part.get("text", "") for item in output for part in item.get("content") or () if isinstance(part, dict)]
    return "\n" + "\n".join(part for part in parts if part)
