"""The memory of approved translations, on the command line.

python -m llmos.applications.translate approve "Good morning." "Guten Morgen." --from en --to de
python -m llmos.applications.translate list --to de
python -m llmos.applications.translate import memory.tmx --from en --to de
python -m llmos.applications.translate export memory.tmx --from en --to de
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.applications.translate.glossary import Glossary
from llmos.applications.translate.languages import is_same_language, language_code
from llmos.applications.translate.memory import Memory, open_memory
from llmos.applications.translate.pairs import Pair
from llmos.applications.translate.tmx import read_tmx, write_tmx
from llmos.applications.translate.translator import Translator
from llmos.core.errors import LLMOSError


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        print(asyncio.run(given.work(given, open_memory(given.memory))))
    except LLMOSError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llmos.applications.translate", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--memory", default="data/memory.jsonl", help="a .jsonl file, or dataset:NAME")
    shared.add_argument("--from", dest="source", default="", help="the language of the sources")
    shared.add_argument("--to", dest="target", required=True, help="the language of the translations")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    approving = commands.add_parser("approve", parents=[shared], help="approve the translation of a sentence")
    approving.add_argument("text")
    approving.add_argument("translation")
    approving.add_argument("--glossary", type=Path, help="a file or folder: the translation must have its terms")
    approving.set_defaults(work=_approve)
    listing = commands.add_parser("list", parents=[shared], help="list approved pairs")
    listing.set_defaults(work=_list)
    for name, work, what in (("import", _import, "approve the pairs"), ("export", _export, "write the memory")):
        command = commands.add_parser(name, parents=[shared], help=f"{what} of a TMX file")
        command.add_argument("file", type=Path)
        command.set_defaults(work=work)
    return parser


async def _approve(given: argparse.Namespace, memory: Memory) -> str:
    glossary = Glossary.read(given.glossary) if given.glossary else Glossary()
    translator = Translator(ask=_no_model, memory=memory, glossary=glossary)
    pair = await translator.approve(
        given.text, given.translation, source=given.source, target=given.target, by=getpass.getuser()
    )
    return f"Approved: {pair.source} → {pair.target}"


async def _list(given: argparse.Namespace, memory: Memory) -> str:
    return "\n".join(f"{pair.source}\t{pair.target}" for pair in await _pairs(given, memory))


async def _import(given: argparse.Namespace, memory: Memory) -> str:
    pairs = read_tmx(given.file, language_code(given.source or "en", "from"), language_code(given.target))
    await memory.approve(pairs)
    return f"Approved {len(pairs):,} pairs of {given.file}."


async def _export(given: argparse.Namespace, memory: Memory) -> str:
    pairs = await _pairs(given, memory)
    await asyncio.to_thread(given.file.write_text, write_tmx(pairs, given.source or "en"))
    return f"Wrote {len(pairs):,} pairs to {given.file}."


async def _pairs(given: argparse.Namespace, memory: Memory) -> list[Pair]:
    source = language_code(given.source, "from") if given.source else ""
    target = language_code(given.target)
    return [
        pair
        for pair in await memory.pairs()
        if is_same_language(pair.source_language, source) and is_same_language(pair.target_language, target)
    ]


async def _no_model(question: Any, /, *, system: str, options: Any) -> Any:
    raise AssertionError("approving asks no model")


if __name__ == "__main__":
    sys.exit(main())
