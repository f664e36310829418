"""llmos app run, serve, deploy, stop, deployments, logs, runs, resume: applications at work."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.app_documents import ensure_documents, sync_documents
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.errors import AppFailed, BadRequest

if TYPE_CHECKING:
    from llmos.client.hosting_calls import RunSettings
    from llmos.core.schemas.hosted_apps import AppDeploymentDescription, RunEvent

_Deployed = Annotated[str, typer.Argument(metavar="APP", help="The name of a deployed application.")]
_RunnableApp = Annotated[str, typer.Argument(metavar="DIR", help="A folder with app.yaml, or a deployed application.")]
_Variables = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="KEY=VALUE", help="A variable of its prompt. Can be repeated."),
]


def register_hosting(group: typer.Typer) -> None:
    """Add the commands to `llmos app`."""
    for command in (run, serve, deploy, stop, deployments, logs, runs, resume):
        group.command(command.__name__)(command)


def run(
    app: _RunnableApp,
    prompt: Annotated[str, typer.Argument(metavar="INPUT", help="The question.")],
    session: Annotated[
        str | None, typer.Option(help="The session (conversation), by a name of your choice.", show_default=False)
    ] = None,
    user: Annotated[
        str, typer.Option(help="The person whose data the run has, for `llmos forget`.", show_default=False)
    ] = "",
    var: _Variables = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Call no tools and cause no side effects.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Run an application once: one in a folder in this process, or one that is deployed.

    The running server runs the model.
    """
    from llmos.cli.app_runs import show_run

    given: Any = {"session": session, "user": user, "variables": _variables(var), "dry_run": dry_run}
    settings = {name: value for name, value in given.items() if value}
    if _is_folder(app):
        show_run(_run_folder(Path(app), prompt, settings), as_json=as_json)
    else:
        show_run(_run_deployed(app, prompt, settings), as_json=as_json)  # type: ignore[arg-type]


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with app.yaml.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key that callers send as `Authorization: Bearer KEY`.", show_default=False),
    ] = None,
) -> None:
    """Serve an application over HTTP in this process, until Ctrl-C: POST /runs, /runs/ID/resume, GET /health.

    The running server runs the model. To deploy the application on a server, use llmos app deploy
    """
    from llmos.hosting.folder import AppFolder
    from llmos.hosting.standalone import serve_folder

    ensure_documents(AppFolder.open(folder))
    serve_folder(folder, host, port, key_file, lambda line: print(line, flush=True))


def deploy(
    app: Annotated[str, typer.Argument(metavar="DIR|APP", help="A folder with app.yaml, or a version: NAME@NUMBER.")],
    as_json: options.AsJson = False,
) -> None:
    """Deploy an application: the server runs it in a separate process.

    A folder is first stored as a version, and its documents as knowledge. The previous version ends after its last run.
    """
    from llmos.client import Client
    from llmos.hosting.folder import AppFolder

    with Client() as client:
        name = app
        if _is_folder(app):
            opened = AppFolder.open(app)
            sync_documents(opened, client)
            name = client.apps.create(app).version
        described = client.apps.deploy(name)
    _show_deployment(described, as_json=as_json)


def stop(app: _Deployed, as_json: options.AsJson = False) -> None:
    """Stop an application after its last run. Its versions, sessions and runs stay."""
    from llmos.client import Client

    with Client() as client:
        described = client.apps.stop(app)
    if as_json:
        print_json(described)
    else:
        stdout().print(f"{described.version} is stopped.")


def deployments(as_json: options.AsJson = False) -> None:
    """List the deployed applications with their state."""
    from llmos.client import Client

    with Client() as client:
        found = client.apps.deployments()
    if not found and not as_json:
        stderr().print("No application is deployed. To deploy one: llmos app deploy DIR")
        return
    columns = {
        "version": "app",
        "state": "state",
        "serving": "serving",
        "num_runs": "runs",
        "restarts": "restarts",
        "since": "since",
        "reason": "why",
    }
    print_table(found, columns, as_json=as_json)


def logs(
    app: _Deployed,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
) -> None:
    """Show the output of an application's process."""
    from llmos.client import Client

    with Client() as client:
        for line in client.apps.logs(app, lines=lines, follow=follow):
            print(line, flush=follow)


def runs(
    app: _Deployed,
    state: Annotated[
        str | None, typer.Option(help="Only runs in this state, such as waiting.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest ones.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List the runs of an application, newest first."""
    from llmos.client import Client

    with Client() as client:
        found = client.runs.list(app=app, state=state, limit=limit)
    if not found and not as_json:
        stderr().print(f"The app {app} has no runs{f' in the state {state}' if state else ''}.")
        return
    columns = {"id": "run", "state": "state", "waits_for": "waits for", "created_at": "began", "ended_at": "ended"}
    print_table(found, columns, as_json=as_json)


def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run; see `llmos app runs`.")],
    value: Annotated[
        str | None,
        typer.Option(help="The value that it waits for, as JSON: true approves, false declines.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Continue a run of a deployed application: one whose process died, or that waits for a decision."""
    from llmos.cli.app_runs import show_result
    from llmos.client import Client

    with Client() as client:
        found = client.runs.get(run)
        result = client.apps.resume(found.app, run, *([] if value is None else [_json(value)]))
    show_result(result, as_json=as_json)


def _run_folder(folder: Path, prompt: str, settings: dict[str, Any]) -> "Iterator[RunEvent]":
    from llmos.hosting.folder import AppFolder
    from llmos.hosting.results import describe_event

    opened = AppFolder.open(folder)
    ensure_documents(opened)
    with opened.load() as app:
        for event in app.stream(prompt, **settings):
            yield describe_event(event)


def _run_deployed(name: str, prompt: str, settings: "RunSettings") -> "Iterator[RunEvent]":
    from llmos.client import Client

    with Client() as client:
        yield from client.apps.stream(name, prompt, **settings)


def _is_folder(app: str) -> bool:
    """Return whether an argument is a folder and not a name. Raises BadRequest for a path that leads nowhere."""
    path = Path(app)
    if path.is_dir():
        return True
    if "/" in app or app.startswith("."):
        raise BadRequest(f"There is no folder {app}. `llmos app init` makes one.")
    return False


def _variables(given: list[str] | None) -> dict[str, str]:
    variables = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise BadRequest(f"--var {each} isn't KEY=VALUE, such as --var shop=Acme.", param="variables")
        variables[name] = value
    return variables


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show_deployment(described: "AppDeploymentDescription", *, as_json: bool) -> None:
    if as_json:
        print_json(described)
    elif described.state == "ready":
        isolated = "" if described.is_isolated else " Without bubblewrap on the server, it can read the server's files."
        stdout().print(f"{described.version} answers as app:{described.app}.{isolated}")
    elif described.state == "failed":
        serving = f" {described.serving} goes on answering." if described.serving else ""
        raise AppFailed(f"{described.reason}{serving} Its log: llmos app logs {described.app}")
    else:
        print_facts({"app": described.version, "state": described.state, "why": described.reason})
