"""Questions and answers of chatterbot-corpus (BSD), for the benchmarks of answers out of documents.

CORPUS is the folder `data` of it: `pip download chatterbot-corpus`, and unpack it. It has a folder for each language.
"""

from collections.abc import Callable
from pathlib import Path

import yaml

SMALL_TALK = {"conversations", "greetings", "botprofile", "gossip", "emotion", "humor", "health"}
"""Topics without facts."""

Pair = tuple[str, str, str]
"""Topic, question, answer."""


def read_pairs(
    folder: Path, *, first_answer: bool = False, written: Callable[[str, str], str] | None = None
) -> list[Pair]:
    """Return the pairs of a language, each question once.

    first_answer: of several answers, the first; by default all. written: (text, the mark at its end) → the text as
    documents have it.
    """
    pairs: dict[str, Pair] = {}
    for path in sorted(folder.glob("*.yml")):
        if path.stem in SMALL_TALK:
            continue
        for turns in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            if len(turns) >= 2 and all(isinstance(each, str) for each in turns) and len(turns[0]) >= 4:
                question, answer = turns[0].strip(), turns[1] if first_answer else " ".join(turns[1:])
                if written is not None:
                    question, answer = written(question, "?"), written(answer, ".")
                pairs.setdefault(turns[0].strip().lower(), (path.stem, question, answer))
    return list(pairs.values())


def as_written(text: str, end: str) -> str:
    """Return a text with a capital letter and a full stop, as documents have it."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text[-1:] in "?!.？！。" else end)
