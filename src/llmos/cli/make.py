"""llmos quantize, llmos prune: make smaller versions of a model and measure their cost."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.card import print_summary
from llmos.cli.control import MakeRequest, open_control
from llmos.cli.output import print_json, readable_size, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings

Name = Annotated[str | None, typer.Option("--name", help="Name of the new model; by default NAME-SCHEME.")]
CalibrationText = Annotated[
    Path | None,
    typer.Option("--calibration", help="Text file for calibration; by default the model generates a text."),
]
MeasureCard = Annotated[
    bool, typer.Option("--card/--no-card", help="Measure the new version's card; see `llmos card`.")
]


def register(app: typer.Typer) -> None:
    app.command("quantize")(quantize)
    app.command("prune")(prune)


def quantize(
    model: options.ModelReference,
    scheme: Annotated[str, typer.Option(help="gptq, awq, minmax, absmax, q8_0, q4_1 or q4_0; see docs/optimize.md.")],
    bits: Annotated[int | None, typer.Option(help="Bits per weight; 2 to 8 for most schemes.")] = None,
    group: Annotated[int | None, typer.Option(help="Number of weights of a row that share a scale.")] = None,
    per: Annotated[str | None, typer.Option(help="The unit that shares a scale: tensor, channel or group.")] = None,
    name: Name = None,
    calibration: CalibrationText = None,
    texts: Annotated[int | None, typer.Option(help="Number of calibration texts (gptq, awq).")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens per calibration text.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the text that the model generates.")] = None,
    card: MeasureCard = True,
    as_json: options.AsJson = False,
) -> None:
    """Quantize a model: make a new model with fewer bits per weight. The same recipe gives the same version."""
    given = {"bits": bits, "group": group, "per": per, "texts": texts, "length": length, "seed": seed}
    request = MakeRequest(
        kind="quantize", model=model, scheme=scheme, options=given, name=name, calibration=calibration, card=card
    )
    _make(request, as_json)


def prune(
    model: options.ModelReference,
    scheme: Annotated[str, typer.Option(help="magnitude, wanda or structured; see docs/optimize.md.")],
    sparsity: Annotated[
        float | None, typer.Option(help="Share of each row's weights to remove (magnitude, wanda), such as 0.5.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="2:4 removes two of every four adjacent weights (magnitude, wanda).")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Number of layers to remove (structured).")] = None,
    ffn_share: Annotated[
        float | None, typer.Option(help="Share of each layer's feed-forward channels to remove (structured).")
    ] = None,
    kv_heads: Annotated[
        int | None, typer.Option(help="Key-value heads to remove per layer, with their query heads (structured).")
    ] = None,
    name: Name = None,
    calibration: CalibrationText = None,
    texts: Annotated[int | None, typer.Option(help="Number of calibration texts (wanda, structured).")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens per calibration text.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the text that the model generates.")] = None,
    card: MeasureCard = True,
    as_json: options.AsJson = False,
) -> None:
    """Prune a model: make a new model without some of its weights, layers, channels or heads. The same recipe gives
    the same version."""
    given = {
        "sparsity": sparsity, "pattern": pattern, "layers": layers, "ffn_share": ffn_share, "kv_heads": kv_heads,
        "texts": texts, "length": length, "seed": seed,
    }  # fmt: skip
    request = MakeRequest(
        kind="prune", model=model, scheme=scheme, options=given, name=name, calibration=calibration, card=card
    )
    _make(request, as_json)


def _make(request: MakeRequest, as_json: bool) -> None:
    with open_control(load_settings()) as control:
        parent = control.models.get(request.model)
        with progress_bar("steps") as progress:
            made = control.models.make(request, progress)
    if as_json:
        print_json(made)
        return
    size = f"{made.quantization}, {readable_size(made.size_bytes)} of {readable_size(parent.size_bytes)}"
    if made.was_here:
        stdout().print(f"{made.version} was made from {parent.version} by this recipe before: {size}.")
    else:
        stdout().print(f"{made.version} is made from {parent.version}: {size}.")
    if made.card is not None:
        print_summary(made.card)
    if made.remark:
        stderr().print(made.remark)
