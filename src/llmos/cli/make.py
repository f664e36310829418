"""llmos quantize, llmos prune: smaller versions of a model, with what it costs known."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from llmos.cli import options
from llmos.cli.models import version_facts
from llmos.cli.output import print_json, readable_size, stderr, stdout, work_progress
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings
from llmos.core.errors import LLMOSError
from llmos.engine.compression.recipe import Kind

if TYPE_CHECKING:
    from llmos.core.progress import Progress
    from llmos.core.schemas.cards import Card
    from llmos.models.registry import Registry
    from llmos.models.versions.versions import Version

Name = Annotated[
    str | None, typer.Option("--name", help="What to call the new model; NAME-SCHEME where it isn't given.")
]
CalibrationText = Annotated[
    Path | None,
    typer.Option("--calibration", help="A text to calibrate on, instead of one that the model writes itself."),
]


MeasureCard = Annotated[
    bool, typer.Option("--card/--no-card", help="Measure at once what it costs; otherwise: llmos card NAME --measure")
]


def register(app: typer.Typer) -> None:
    app.command("quantize")(quantize)
    app.command("prune")(prune)


def quantize(
    model: options.ModelReference,
    scheme: Annotated[str, typer.Option(help="gptq, awq, minmax, absmax, q8_0, q4_1 or q4_0; docs/optimize.md.")],
    bits: Annotated[int | None, typer.Option(help="Bits of a weight; 2 to 8 with most schemes.")] = None,
    group: Annotated[int | None, typer.Option(help="So many weights of a row share a scale.")] = None,
    per: Annotated[str | None, typer.Option(help="What shares a scale: tensor, channel or group.")] = None,
    name: Name = None,
    calibration: CalibrationText = None,
    texts: Annotated[int | None, typer.Option(help="Texts that are looked at (gptq, awq).")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens of each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the text that the model writes.")] = None,
    card: MeasureCard = True,
    as_json: options.AsJson = False,
) -> None:
    """Make a version of a model in fewer bits, as a model of its own. The same recipe gives the same version."""
    given = {"bits": bits, "group": group, "per": per, "texts": texts, "length": length, "seed": seed}
    make_version("quantize", model, scheme, given, name, calibration, has_card=card, as_json=as_json)


def prune(
    model: options.ModelReference,
    scheme: Annotated[str, typer.Option(help="magnitude, wanda or structured; docs/optimize.md.")],
    sparsity: Annotated[
        float | None, typer.Option(help="The share of each row's weights that goes (magnitude, wanda); 0.5.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="2:4: two of every four weights side by side go (magnitude, wanda).")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="So many layers go (structured).")] = None,
    ffn_share: Annotated[
        float | None, typer.Option(help="The share of each layer's feed-forward channels that goes (structured).")
    ] = None,
    kv_heads: Annotated[
        int | None, typer.Option(help="So many key-value heads of each layer go, with their query heads (structured).")
    ] = None,
    name: Name = None,
    calibration: CalibrationText = None,
    texts: Annotated[int | None, typer.Option(help="Texts that are looked at (wanda, structured).")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens of each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the text that the model writes.")] = None,
    card: MeasureCard = True,
    as_json: options.AsJson = False,
) -> None:
    """Make a version of a model with less in it, as a model of its own: without weights, layers, channels or heads. The
    same recipe gives the same version."""
    given = {
        "sparsity": sparsity, "pattern": pattern, "layers": layers, "ffn_share": ffn_share, "kv_heads": kv_heads,
        "texts": texts, "length": length, "seed": seed,
    }  # fmt: skip
    make_version("prune", model, scheme, given, name, calibration, has_card=card, as_json=as_json)


def make_version(
    kind: Kind,
    model: str,
    scheme: str,
    given: dict[str, Any],
    name: str | None,
    text: Path | None,
    *,
    has_card: bool,
    as_json: bool,
) -> None:
    """Carry out a recipe and print what became of it."""
    settings = load_settings()
    refuse_remote(settings, kind)
    from llmos.models import open_registry
    from llmos.models.deriving import derive, recipe_of

    recipe = recipe_of(kind, scheme, given, text)
    registry = open_registry(settings)
    parent = registry.resolve(model)
    with shown_work() as progress:
        result = derive(registry, model, recipe, name=name, text=text, progress=progress)
    version = result.version
    card = _card_of(registry, version) if has_card else None
    if as_json:
        plain = None if card is None else msgspec.to_builtins(card)
        print_json(
            version_facts(version) | {"recipe": recipe.canonical(), "was_here": result.already_existed, "card": plain}
        )
        return
    size = f"{version.quantization}, {readable_size(version.size)} of {readable_size(parent.size)}"
    if result.already_existed:
        stdout().print(f"{version.ref} is what this recipe made of {parent.ref} before: {size}.")
    else:
        stdout().print(f"{version.ref} is made from {parent.ref}: {size}.")
    if card is not None:
        from llmos.cli.card import print_summary

        print_summary(card)
    if result.warning:
        stderr().print(result.warning)


def _card_of(registry: "Registry", version: "Version") -> "Card | None":
    """Return the version's card, measured now where there is none. The version is made, whatever becomes of it."""
    from llmos.models.cards.cards import Cards
    from llmos.models.cards.measure import make_card

    if (card := Cards(registry.database).get(version)) is not None:
        return card
    later = f"{version.ref} is made. Measure what it costs: llmos card {version.ref} --measure"
    try:
        with shown_work() as progress:
            return make_card(registry, version, progress)
    except LLMOSError as error:
        stderr().print(f"Its card couldn't be measured: {error.message} {later}")
    except KeyboardInterrupt:
        stderr().print(later)
        raise
    return None


@contextmanager
def shown_work() -> Iterator["Progress"]:
    """One bar with the time left, which begins anew when the work becomes another, not when a part of it does."""
    with work_progress() as display:
        task, done, total = display.add_task("", total=None), 0, None

        def told(label: str, num_done: int, num_total: int | None) -> None:
            nonlocal done, total
            if num_total != total or num_done < done:
                display.reset(task)
            done, total = num_done, num_total
            display.update(task, description=label, completed=num_done, total=num_total)

        yield told
