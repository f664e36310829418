"""The `llmos` command. One file for each group of commands; this one loads them and reports failures.

    0    success
    1    failure: one line on stderr says what is wrong and what to do
    2    wrong use: an unknown option or name, or a name that is taken; one line on stderr says what to do
    130  ended by Ctrl-C

A command's file is loaded when the command is named, and its imports are inside its functions, so that `llmos run`
doesn't load what `llmos serve` needs.
"""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.models import CommandInfo, DefaultPlaceholder, TyperInfo

from llmos.cli.terminal import accept_any_text
from llmos.core.errors import BadRequest, Conflict, LLMOSError, NotFound, StoreFailed, UntrustedModel
from llmos.core.extras import missing_extra

COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Run models": {
        "serve": ("serve", "worker"),
        "run": ("run",),
        "chat": ("chat",),
        "console": ("console",),
    },
    "Models": {
        "models": ("pull", "import", "list", "show", "rm"),
        "transfers": ("push", "export"),
        "aliases": ("alias",),
        "labels": ("tag", "describe"),
        "signing": ("sign", "verify", "trust"),
        "policies": ("policy",),
    },
    "Make smaller models": {
        "make": ("quantize", "prune"),
        "card": ("card",),
    },
    "Deployments": {
        "fit": ("fit",),
        "deploy": ("deploy", "scale", "sleep", "wake", "undeploy", "deployment"),
        "cluster": ("node", "cluster"),
        "ps": ("ps", "stop"),
        "top": ("top",),
        "logs": ("logs",),
        "jobs": ("job",),
    },
    "Routes": {
        "routes": ("route",),
        "providers": ("provider",),
        "rollouts": ("promote", "rollback", "rollout"),
    },
    "This machine": {
        "bench": ("bench",),
        "doctor": ("doctor",),
    },
    "Privacy": {
        "encryption": ("encryption",),
        "forget": ("forget",),
    },
    "Billing": {
        "usage": ("usage",),
        "budgets": ("budget",),
        "prices": ("price",),
        "plans": ("billing-plan",),
        "credit": ("credit",),
        "invoices": ("invoice",),
        "ledger": ("ledger",),
        "exporters": ("exporter",),
    },
    "Applications": {
        "apps": ("app",),
        "app_plan": ("plan", "apply"),
        "prompts": ("prompt",),
        "evals": ("eval",),
        "handoffs": ("handoff",),
        "webhooks": ("webhook",),
    },
    "Data": {
        "datasets": ("dataset",),
        "knowledge": ("knowledge",),
        "conversations": ("conversation",),
        "feedback": ("feedback",),
    },
    "Projects, users and keys": {
        "projects": ("project",),
        "users": ("user",),
        "keys": ("key",),
    },
    "Guardrails": {
        "guardrails": ("guardrail",),
    },
    "Audit": {
        "audit": ("audit",),
        "receipts": ("receipt",),
        "answers": ("answer",),
    },
}
"""The commands of each file, by panel of the help, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. Raises nothing that a user can cause."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    arguments, wants_traceback = _take_debug(arguments)
    accept_any_text()
    try:
        _warn_of_unknown_settings()
        status = build_app(arguments[0] if arguments else None)(arguments, prog_name="llmos", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has gone, like `head`. Python would fail when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if wants_traceback:
            raise
        return _report(error)


def build_app(command: str | None = None) -> typer.Typer:
    """Return the app with the file of this command; with all files if it isn't a command."""
    app = typer.Typer(
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    files = {file: (panel, names) for panel, its in COMMANDS.items() for file, names in its.items()}
    named = [file for file, (_, names) in files.items() if command in names]
    for file in named or files:
        import_module(f"llmos.cli.{file}").register(app)
        registrations: list[CommandInfo | TyperInfo] = [*app.registered_commands, *app.registered_groups]
        for registered in registrations:
            if isinstance(registered.rich_help_panel, DefaultPlaceholder):
                registered.rich_help_panel = files[file][0]
    return app


def _print_version(is_given: bool) -> None:
    if is_given:
        from llmos import __version__

        print(f"llmos {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="If a command fails, also print the traceback.")] = False,
) -> None:
    """LLMOS, the operating system for large language models."""


def _warn_of_unknown_settings() -> None:
    from llmos.core.config import unknown_settings

    for sentence in unknown_settings():
        print(f"Note: {sentence}", file=sys.stderr)


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Remove --debug, wherever it is before `--`: users add it at the end of the line that failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != "--debug"]
    return rest + arguments[end:], len(rest) < end


def _report(error: Exception) -> int:
    """Print the error in one line; return the exit status."""
    error = missing_extra(error) or error
    format_message: Any = getattr(error, "format_message", None)
    if format_message is not None:  # errors of typer's parser, and typer.BadParameter
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "llmos"
        message = format_message().strip().removeprefix("Invalid value: ")
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
        else:
            _print_error(f"{message if message[-1:] in '.?!' else f'{message}.'} See: {path} --help")
        return 2
    if isinstance(error, LLMOSError):
        _print_error(error.message)
        return 2 if isinstance(error, BadRequest | NotFound | Conflict | StoreFailed | UntrustedModel) else 1
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        _print_error("An argument is not text in this terminal's encoding. Write it in UTF-8, in a UTF-8 locale.")
        return 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f"{error.filename}: " if error.filename else ""
        _print_error(f"{place}The disk is full. Free some space on the disks of LLMOS_HOME and of temporary files.")
    elif isinstance(error, OSError) and error.strerror:
        _print_error(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
    else:
        summary = (str(error).splitlines() or [""])[0]
        _print_error(f"{type(error).__name__}: {summary} This is a bug in LLMOS; --debug shows the traceback.")
    return 1


def _print_error(message: str) -> None:
    print(f"Error: {message}", file=sys.stderr)
