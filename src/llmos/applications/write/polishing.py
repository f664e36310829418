"""Polishing: better wording for a text, paragraph by paragraph, where its figures and names stay as they are."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmos.applications.write.briefs import Change
from llmos.applications.write.differences import changed_figures, changed_names, word_diff
from llmos.apps import Reply, ask
from llmos.core.sentences import sentences_in

_CODE = re.compile(r"^((?:```|~~~).*?^(?:```|~~~)[^\n]*$)", re.MULTILINE | re.DOTALL)
_PARAGRAPH = re.compile(r"(\n[^\S\n]*\n\s*)")
_AS_IT_IS = re.compile(r"\s*(?:#|```|~~~|\||    |\[|<|$)")
"""The beginning of what isn't prose: a heading, code, a table, a link, a tag."""
_QUESTION = (
    "Correct the spelling and grammar of this text, and make it clear. Keep its meaning, names and numbers. Write the"
    " text and nothing else:\n\n"
)
_MAX_CHARS = 1_500
_LEAST, _MOST = 0.5, 1.6
"""The shares of its length that a text has after it was polished. Otherwise it is another text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Polished:
    text: str
    refused: str = ""
    """Why the text is as it was."""


async def polish(text: str, allow: Sequence[Change]) -> Reply:
    """Return a text with better wording, and `output` with the text and its visible changes."""
    parts = [*_parts_of(text)]
    polished = await asyncio.gather(*(_polish_part(part, allow) for part in parts))
    after = "".join(each.text for each in polished)
    changes = word_diff(text, after)
    notes = [
        f"“{_beginning(part)}” stays as it was: {each.refused}"
        for part, each in zip(parts, polished, strict=True)
        if each.refused
    ]
    return Reply(text=after, output={"text": after, "changes": changes, "is_changed": after != text}, notes=notes)


async def _polish_part(text: str, allow: Sequence[Change]) -> _Polished:
    if _AS_IT_IS.match(text):
        return _Polished(text=text)
    body = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    answer = await ask(_QUESTION + body, options={"max_tokens": len(body.encode()) // 2 + 20})
    new = answer.text.strip()
    problem = "the model's text was cut." if answer.finish_reason == "length" else _problem(body, new, allow)
    return _Polished(text=text, refused=problem) if problem else _Polished(text=before + new + after)


def _problem(before: str, after: str, allow: Sequence[Change]) -> str:
    """Return why a new wording is refused; "" if it is taken."""
    if not _LEAST * len(before) <= len(after) <= _MOST * len(before):
        return "the model wrote another text."
    if "numbers" not in allow and (figures := changed_figures(before, after)):
        return f"the model changed figures ({', '.join(figures)})."
    if "names" not in allow and (names := changed_names(before, after)):
        return f"the model changed names ({', '.join(names)})."
    return ""


def _parts_of(text: str) -> Iterator[str]:
    """Yield code as a whole, and the rest in paragraphs, with what stands between them."""
    for index, block in enumerate(_CODE.split(text)):
        if index % 2:
            yield block
        else:
            for paragraph in _PARAGRAPH.split(block):
                yield from _cut(paragraph)


def _cut(part: str) -> list[str]:
    """Return a paragraph in parts that a small model can hold, each of whole sentences."""
    if len(part) <= _MAX_CHARS:
        return [part]
    starts = [start for start, _ in sentences_in(part)][1:]
    parts, first = [], 0
    for start, following in zip(starts, [*starts[1:], len(part)], strict=True):
        if following - first > _MAX_CHARS:
            parts.append(part[first:start])
            first = start
    return [*parts, part[first:]]


def _beginning(text: str) -> str:
    words = text.split()
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")
