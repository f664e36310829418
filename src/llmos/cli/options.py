"""Arguments and options that several commands have."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypedDict, get_type_hints

import typer


def complete_model(incomplete: str) -> list[str]:
    """Return the names of models and routes that begin with what the shell has so far. Raises nothing."""
    from llmos.cli.control import open_control
    from llmos.core.config import load_settings

    with suppress(Exception), open_control(load_settings()) as control:
        names = {model.name for model in control.models.list()} | {route.name for route in control.routes.list()}
        return sorted(name for name in names if name.startswith(incomplete))
    return []


REFERENCE = "NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."
"""The help of an argument that is a reference."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelReference = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=REFERENCE,
        autocompletion=complete_model,
    ),
]
PeriodStart = Annotated[
    str | None, typer.Option("--from", metavar="WHEN", help="24h or 7d ago, or a date.", show_default="30d")
]
PeriodEnd = Annotated[
    str | None,
    typer.Option("--to", metavar="WHEN", help="The end (exclusive): 24h or 7d ago, or a date.", show_default="now"),
]
Force = Annotated[
    bool, typer.Option("--force", help="Deploy it even if its card fails a limit; the history records that.")
]
ModelOrRoute = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model or a route.", autocompletion=complete_model)
]


class _SamplingOptions(TypedDict):
    """The options of `run` and `chat` that control an answer."""

    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of tokens to generate.", show_default=False)
    ]
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="0 always takes the most likely token.", show_default=False)
    ]
    top_p: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Sample from the most likely tokens up to this probability."),
    ]
    top_k: Annotated[int | None, typer.Option(min=0, help="Sample from this many of the most likely tokens; 0: all.")]
    min_p: Annotated[
        float | None, typer.Option(min=0, max=1, help="Drop tokens below this share of the highest probability.")
    ]
    seed: Annotated[int | None, typer.Option(help="Random seed. The same seed gives the same text.")]
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this string. Can be repeated.")]


class _LimitOptions(TypedDict):
    """The limits of a key or a project."""

    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Calls per minute.", show_default="no limit")]
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Tokens per minute, of prompts and answers.", show_default="no limit")
    ]
    concurrent_requests: Annotated[
        int | None, typer.Option(min=1, help="Calls that run at the same time.", show_default="no limit")
    ]
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of the longest prompt.", show_default="no limit")
    ]
    output_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of the longest answer.", show_default="no limit")
    ]


def with_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the sampling options, and pass those that were given as its argument `sampling`."""
    return _with_options(command, _SamplingOptions, "sampling")


def with_limits(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for limits, and pass those that were given as its argument `limits`."""
    return _with_options(command, _LimitOptions, "limits")


def _with_options(command: Callable[..., None], options: type, name_of_all: str) -> Callable[..., None]:
    hints = get_type_hints(options, include_extras=True)

    @wraps(command)
    def wrapped(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in hints}
        command(**arguments, **{name_of_all: {name: value for name, value in given.items() if value is not None}})

    own = [each for each in signature(command).parameters.values() if each.name != name_of_all]
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=hint) for name, hint in hints.items()]
    wrapped.__signature__ = Signature([*own, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in [*own, *added]}
    return wrapped
