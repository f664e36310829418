"""The arguments and options that several commands have."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from llmos.client.calls import Sampling

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelReference = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST.")
]
ModelOrRoute = Annotated[str, typer.Argument(metavar="MODEL", help="A model or a route.")]

# What shapes an answer of `run` and `chat`.

MaxTokens = Annotated[int | None, typer.Option(min=1, help="The most tokens to write.", show_default=False)]
Temperature = Annotated[
    float | None, typer.Option(min=0, max=2, help="0 always takes the likeliest token.", show_default=False)
]
TopP = Annotated[float | None, typer.Option(min=0, max=1, help="Keep the likeliest tokens of this total probability.")]
TopK = Annotated[int | None, typer.Option(min=0, help="Keep this many of the likeliest tokens; 0 keeps all.")]
MinP = Annotated[float | None, typer.Option(min=0, max=1, help="Drop tokens below this share of the likeliest one's.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this string; may be given several times.")]


def given_sampling(**options: Any) -> "Sampling":
    """Return the options that were given; the rest is the engine's default."""
    sampling: Any = {name: value for name, value in options.items() if value is not None and value != []}
    chosen: Sampling = sampling
    return chosen
