"""Compare recipes on one model by quality, size and speed, from the card of each result.

    python benchmarks/recipes.py [--model smollm2] [--only gptq4 wanda50] [--as-it-is] [--home DIR] [--json] [--write]

The catalog's smollm2 has 4 bits already: to quantize it again would show nothing. So its weights are first written in
bfloat16 with the columns in another order (disguise.py): the same function, but no block of 32 is one that a file had.
--as-it-is takes the version as it is. Everything is made and measured in a home of its own, a temporary one unless
--home names it; what is there already isn't made again, but always measured anew.

Speeds are medians of the card's repeats, in which the parent is asked right before or after: run it on a quiet machine.
--write puts the table between its markers into docs/optimize.md, which has one of the file that pull gives
(--as-it-is), and one of the bfloat16 form.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from disguise import disguise
from llmos.core.config import load_settings
from llmos.core.schemas.cards import Card
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.model_files import open_model_files
from llmos.engine.checkpoint.model_writer import ModelWriter
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.encodings import Blocks
from llmos.engine.spec import DecoderSpec
from llmos.models import open_registry
from llmos.models.cards.cards import Cards
from llmos.models.cards.extent import FULL
from llmos.models.cards.measure import measure
from llmos.models.deriving import derive
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.versions import Version

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "optimize.md",)
BFLOAT16 = ("<!-- recipes -->", "<!-- end of recipes -->")
AS_IT_IS = ("<!-- recipes on the pulled file -->", "<!-- end of recipes on the pulled file -->")
"""The markers around the two tables."""

RECIPES: dict[str, Recipe] = {
    recipe.label(): recipe
    for recipe in (
        Recipe.of("quantize", "q8_0", {}),
        Recipe.of("quantize", "absmax", {"bits": 8}),
        Recipe.of("quantize", "q4_1", {}),
        Recipe.of("quantize", "q4_0", {}),
        Recipe.of("quantize", "gptq", {"bits": 4}),
        Recipe.of("quantize", "awq", {"bits": 4}),
        Recipe.of("quantize", "minmax", {"bits": 4, "group": 32}),
        Recipe.of("quantize", "minmax", {"bits": 3, "group": 32}),
        Recipe.of("prune", "wanda", {"sparsity": 0.5}),
        Recipe.of("prune", "wanda", {"pattern": "2:4"}),
        Recipe.of("prune", "structured", {"layers": 2}),
        Recipe.of("prune", "structured", {"ffn_share": 0.2}),
    )
}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    card: Card


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare recipes on one model by quality, size and speed.")
    parser.add_argument("--model", default="smollm2", help="a version of the registry")
    parser.add_argument(
        "--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="measure only these recipes"
    )
    parser.add_argument(
        "--as-it-is", action="store_true", help="apply the recipes to the version itself, not to its bfloat16 form"
    )
    parser.add_argument("--home", type=Path, help="LLMOS home for the results (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=FULL.repeats, help="repetitions of each timing")
    parser.add_argument("--json", action="store_true", help="print the cards, one a line, as they are done")
    parser.add_argument("--write", action="store_true", help="put the table into docs/optimize.md")
    args = parser.parse_args()
    markers = AS_IT_IS if args.as_it_is else BFLOAT16
    if args.write:
        check_pages(*markers)
    if args.home:
        args.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for row in measured(args, args.home or Path(temporary)):
            rows.append(row)
            if args.json:
                print(msgspec.json.encode(row.card).decode(), flush=True)
            else:
                print(line(row), file=sys.stderr, flush=True)
        lines = table(rows)
    if not args.json:
        print("\n".join(lines))
    if args.write:
        write(lines, *markers)


def measured(args: argparse.Namespace, home: Path) -> Iterator[Row]:
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    extent = dataclasses.replace(FULL, repeats=args.repeats)
    with shown() as display:
        task = display.add_task("", total=None)

        def told(label: str, num_done: int, num_total: int | None) -> None:
            display.update(task, description=f"{name}: {label}", completed=num_done, total=num_total)

        name = "preparing"
        parent = brought(registry, args.model, as_it_is=args.as_it_is, scratch=home)
        for name in args.only:
            version = derive(registry, parent.ref, RECIPES[name], progress=told).version
            card = measure(registry, version, parent, told, extent=extent)
            Cards(registry.database).put(version, card)
            yield Row(name, card)


def brought(registry: Registry, model: str, *, as_it_is: bool, scratch: Path) -> Version:
    """Return the version that the recipes are applied to, in this registry: the user's model, or its bfloat16 form."""
    users = open_registry(load_settings())
    version = users.resolve(model)
    files = users.files(version)
    if not as_it_is:
        files = in_bfloat16(files, scratch)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        # A blob is named by its digest, but a model is recognized by the names of its files.
        for name, path in files.items():
            (Path(folder) / name).symlink_to(path)
        gguf = [name for name in files if name.endswith(".gguf")]
        return Transfers(registry).import_path(Path(folder) / gguf[0] if gguf else Path(folder), version.model)


def in_bfloat16(files: dict[str, Path], scratch: Path) -> dict[str, Path]:
    checkpoint, opened = open_checkpoint(files), open_model_files(files)
    spec, sources = opened.spec_and_sources()
    if not isinstance(spec, DecoderSpec):
        raise SystemExit("Only a model that writes text can be measured so.")
    folder = scratch / "bfloat16"
    folder.mkdir(exist_ok=True)
    tensors = disguise(spec, checkpoint.tensors)
    encodings = {name: Blocks(tensor.dtype) for name, tensor in tensors.items()}
    with ModelWriter(opened, folder, spec, sources, encodings, metadata={"general.file_type": 32}) as writer:
        for name, tensor in tensors.items():
            writer.write(name, 0, tensor.data)
    return writer.files()


def table(rows: list[Row]) -> list[str]:
    """Return the table: a line about the machine, and a row for each recipe."""
    lines = [facts(rows), ""] if rows else []
    lines += [
        "| recipe | size | perplexity | more | greedy agreement | KL, nats | memory | prefill | decode |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    if rows:
        lines.append(first(rows[0].card))
    return lines + [line(row) for row in rows]


def facts(rows: list[Row]) -> str:
    card = rows[0].card
    machine, text = card.machine, card.text
    said = f"{machine.cpu}, {machine.isa}, {machine.threads} threads."
    if text and card.prefill and card.decode:
        said += (
            f" Perplexity of {text.num_tokens:,} tokens of Python's help; prefill of {card.prefill.num_tokens} tokens,"
            f" decode of {card.decode.num_tokens}, as a multiple of the parent's, median of {len(card.decode.runs)}"
            " repeats in turn; memory while 8 streams are served."
        )
    return said


def first(card: Card) -> str:
    """Return the row of the parent, as measured by the first card."""
    return _line(
        f"{card.parent}, bfloat16" if (card.parent_size_bytes or 0) > 1.9 * card.parameters else f"{card.parent}",
        _megabytes(card.parent_size_bytes),
        f"{card.comparison.perplexity:.2f}" if card.comparison else "",
        "",
        "",
        "",
        _megabytes(card.parent_memory.resident_bytes if card.parent_memory else None),
        f"{card.prefill.parent_tokens_per_second:,.0f}/s" if card.prefill and card.prefill.ratio else "",
        f"{card.decode.parent_tokens_per_second:,.0f}/s" if card.decode and card.decode.ratio else "",
    )


def line(row: Row) -> str:
    card, compared = row.card, row.card.comparison
    return _line(
        f"`{row.name}`",
        _megabytes(card.size_bytes),
        f"{card.quality.perplexity:,.2f}" if card.quality else "",
        f"{100 * compared.perplexity_increase:+.1f} % ± {100 * compared.standard_error:.1f}" if compared else "",
        f"{100 * compared.greedy_agreement:.1f} %" if compared else "",
        f"{compared.kl_mean:.4f}" if compared else "",
        _megabytes(card.memory.resident_bytes if card.memory else None),
        f"{card.prefill.ratio:.2f} ×" if card.prefill and card.prefill.ratio else "",
        f"{card.decode.ratio:.2f} ×" if card.decode and card.decode.ratio else "",
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"


def check_pages(begin: str, end: str) -> None:
    """Exit with an error if a page has no place for the table, before an hour is spent measuring."""
    for page in PAGES:
        text = page.read_text() if page.exists() else ""
        if not 0 <= text.find(begin) < text.find(end):
            sys.exit(f"{page} has no place for the table: put {begin} and {end} into it, a line each.")


def write(lines: list[str], begin: str, end: str) -> None:
    for page in PAGES:
        head, _, rest = page.read_text().partition(begin)
        _, _, tail = rest.partition(end)
        page.write_text(f"{head}{begin}\n" + "\n".join(lines) + f"\n{end}{tail}")


def shown() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    main()
