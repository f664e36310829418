"""llmos guardrail: policies that screen prompts and answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.cli.times import parse_past
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailReplayDescription
    from llmos.core.schemas.routes import RouteDescription

_Name = Annotated[str, typer.Argument(metavar="POLICY", help="The policy.")]
_Route = Annotated[str | None, typer.Option(help="The calls of this route.", show_default=False)]
_Project = Annotated[str | None, typer.Option(help="The calls of this project.", show_default=False)]
_Everywhere = Annotated[bool, typer.Option("--everywhere", help="All calls.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Screen prompts and answers: policies of guardrails.")
    group.command("kinds")(kinds)
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("history")(history)
    group.command("apply")(apply)
    group.command("unapply")(unapply)
    group.command("remove")(remove)
    group.command("test")(try_)
    group.command("replay")(replay)
    app.add_typer(group, name="guardrail")


def kinds(as_json: options.AsJson = False) -> None:
    """List the guardrails that policies can have, with their actions and options. The first action is the default."""
    from llmos.security.guardrails.reference import describe_kinds

    described = describe_kinds()
    if as_json:
        print_json(described)
        return
    for kind in described:
        stdout().print(f"{kind['guardrail']}  {kind['description']}")
        stdout().print(f"    screens {' and '.join(kind['sides'])}; actions {', '.join(kind['actions'])}")
        for name, text in kind["options"].items():
            stdout().print(f"    {name}: {text}")


def set_(
    name: _Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy, in TOML or JSON.")],
    as_json: options.AsJson = False,
) -> None:
    """Store a new version of a policy, unless the last one is the same. It applies from the next call on."""
    from llmos.security.guardrails.files import read_document

    document = read_document(file)
    with open_control(load_settings()) as control:
        policy = control.guardrails.set(name, document)
    if as_json:
        print_json(policy)
        return
    stdout().print(f"{policy.name}@{policy.version} screens {_places(policy)}.")
    if not policy.applied_to:
        stderr().print(f"To apply it: llmos guardrail apply {name} --route ROUTE (or --project, --everywhere)")


def list_(as_json: options.AsJson = False) -> None:
    """List policies."""
    with open_control(load_settings()) as control:
        policies = control.guardrails.list()
    _print_policies(policies, as_json=as_json)


def show(
    name: _Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="The number of the version; by default the last.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Describe a policy, with its guardrails."""
    with open_control(load_settings()) as control:
        policy = control.guardrails.get(name, version=version)
    if as_json:
        print_json(policy)
        return
    shown = ("name", "version", "digest", "applied_to", "created_at", "created_by")
    print_facts({key: getattr(policy, key) for key in shown})
    for side, entries in policy.document.items():
        for entry in entries:
            given = ", ".join(f"{key} = {value}" for key, value in entry.items() if key != "guardrail")
            stdout().print(f"{side}: {entry['guardrail']}{f' ({given})' if given else ''}")


def history(name: _Name, as_json: options.AsJson = False) -> None:
    """List the versions of a policy, oldest first."""
    with open_control(load_settings()) as control:
        policies = control.guardrails.history(name)
    _print_policies(policies, as_json=as_json)


def apply(
    name: _Name,
    route: _Route = None,
    project: _Project = None,
    everywhere: _Everywhere = False,
    as_json: options.AsJson = False,
) -> None:
    """Screen the calls of a route or of a project, or all calls, with a policy."""
    with open_control(load_settings()) as control:
        policy = control.guardrails.apply(name, route=route, project=project, everywhere=everywhere)
        passing = [] if route is None else _unscreened_targets(policy, control.routes.get(route))
    _print_applied(policy, as_json=as_json)
    if passing:
        stderr().print(
            f"Calls that ask for {' or '.join(passing)} by that name aren't screened by it. To screen them too, apply"
            " it to their project (--project) or --everywhere; or give keys only the route: llmos key create --route"
            f" {route}"
        )


def unapply(
    name: _Name,
    route: _Route = None,
    project: _Project = None,
    everywhere: _Everywhere = False,
    as_json: options.AsJson = False,
) -> None:
    """Stop screening those calls with the policy."""
    with open_control(load_settings()) as control:
        policy = control.guardrails.unapply(name, route=route, project=project, everywhere=everywhere)
    _print_applied(policy, as_json=as_json)


def remove(name: _Name) -> None:
    """Remove a policy that applies to nothing. The name can't be used again."""
    with open_control(load_settings()) as control:
        control.guardrails.remove(name)
    stdout().print(f"Removed {name}.")


def try_(
    name: Annotated[str, typer.Argument(metavar="POLICY", help="A policy, or a file with one (.toml or .json).")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text, or cases in .jsonl.")],
    side: Annotated[str, typer.Option(help="Screen the text as a prompt (input) or as an answer (output).")] = "input",
    as_json: options.AsJson = False,
) -> None:
    """Screen a text, or cases, with a policy, and show the verdicts. No model is called.

    A case is a line {"text": …, "side": "input", "expect": "block"}; expect is allow, flag, redact or block. The status
    is 1 if a case has another verdict.
    """
    from llmos.security.guardrails.files import read_cases, read_document
    from llmos.security.guardrails.policy import open_policy
    from llmos.security.guardrails.trial import try_case

    cases = read_cases(file, side)
    if Path(name).suffix in (".toml", ".json"):
        policy = open_policy(Path(name).stem, 0, read_document(Path(name)))
    else:
        with open_control(load_settings()) as control:
            stored = control.guardrails.get(name)
        policy = open_policy(stored.name, stored.version, stored.document)
    results = [try_case(policy, case) for case in cases]
    columns = {
        "case": "case",
        "side": "side",
        "verdict": "verdict",
        "expect": "expected",
        "found": "found",
        "text": "text",
    }
    print_table(results, columns, as_json=as_json)
    if any(not result.is_expected for result in results):
        wrong = sum(not result.is_expected for result in results)
        stderr().print(f"{wrong} of {len(results)} cases have another verdict than expected.")
        raise typer.Exit(1)


def replay(
    name: Annotated[str, typer.Argument(metavar="POLICY", help="A policy, or a file with one (.toml or .json).")],
    since: Annotated[str, typer.Option(metavar="TIME", help="A time back from now (7d, 12h), or a date.")] = "7d",
    project: Annotated[str | None, typer.Option(help="Only the calls of this project.", show_default=False)] = None,
    as_json: options.AsJson = False,
) -> None:
    """Screen stored calls with a policy, and show the calls that it would block and that pass now. Nothing is applied.

    Kept are stored responses, and the lines of batches. The policies that apply to each call now are applied, too; a
    policy that applies already is compared with its new version.
    """
    from llmos.security.guardrails.files import read_document

    path = Path(name)
    document = read_document(path) if path.suffix in (".toml", ".json") else None
    moment = parse_past(since)
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        replayed = control.guardrails.replay(
            name if document is None else path.stem, progress, since=moment, document=document, project=project
        )
    if as_json:
        print_json(replayed)
        return
    _print_replayed(replayed)


def _print_replayed(replayed: "GuardrailReplayDescription") -> None:
    now, then = replayed.now, replayed.then
    if not replayed.num_calls:
        stdout().print("No call is kept since then. Kept are stored responses, and the lines of batches.")
        return
    rows = [
        {"now": getattr(now, field), "then": getattr(then, field), "what": label}
        for field, label in (
            ("blocked_prompts", "prompts blocked"),
            ("blocked_answers", "answers blocked"),
            ("redacted", "redacted"),
            ("flagged", "flagged"),
        )
    ]
    columns = {"what": f"of {replayed.num_calls:,} calls", "now": "now", "then": f"with {replayed.policy}"}
    print_table(rows, columns, as_json=False)
    stdout().print(f"{replayed.num_newly_blocked:,} more blocked, {replayed.num_no_longer_blocked:,} no longer.")
    for name, count in replayed.findings.items():
        stdout().print(f"{name}: {count:,}")
    for call in replayed.newly_blocked:
        stdout().print(f"newly blocked: {call.id} of {call.project} ({', '.join(call.found)})")
    if replayed.num_newly_blocked > len(replayed.newly_blocked):
        stdout().print(f"and {replayed.num_newly_blocked - len(replayed.newly_blocked):,} more")


def _print_policies(policies: "Any", *, as_json: bool) -> None:
    if not policies and not as_json:
        stderr().print("There are no guardrail policies. To store one: llmos guardrail set NAME FILE")
        return
    columns = {"name": "policy", "version": "version", "applied_to": "applies to", "created_at": "since"}
    print_table(policies, columns, as_json=as_json)


def _print_applied(policy: "GuardrailPolicyDescription", *, as_json: bool) -> None:
    if as_json:
        print_json(policy)
        return
    stdout().print(f"{policy.name}@{policy.version} screens {_places(policy)}.")


def _unscreened_targets(policy: "GuardrailPolicyDescription", route: "RouteDescription") -> list[str]:
    """Return what the route leads to, which callers may ask for by its own name, past a policy of the route."""
    if "installation" in policy.applied_to:
        return []
    return list(dict.fromkeys([*(each.target for each in route.targets), *route.fallbacks]))


def _places(policy: "GuardrailPolicyDescription") -> str:
    """["route:chat", "installation"] -> "route chat, every call"."""
    places = ("every call" if place == "installation" else place.replace(":", " ", 1) for place in policy.applied_to)
    return ", ".join(places) or "no calls"
