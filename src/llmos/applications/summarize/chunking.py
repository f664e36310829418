"""Chunking: cuts a text into parts that fit a model, at the ends of sentences, by the server's count of tokens.

The size of a part is guessed from the parts counted before; what fits is decided by the count alone. A part that is too
long is halved: at the end of a sentence, in one endless sentence between words, in one endless word between characters.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence

from llmos.core.sentences import Span, sentences_in

Count = Callable[[str], Awaitable[int]]
"""Return the tokens of the whole prompt that has this part of a text."""

_SAMPLE_CHARS = 4_000
_MARGIN = 0.95
"""The share of the room that a part is made for, so that few are halved."""

_PASSAGE_CHARS = 200
"""A passage isn't made shorter than this."""


async def chunks_of(text: str, room: int, count: Count) -> list[Span]:
    """Return the parts of a text, in order, with every sentence: the prompt of each has at most `room` tokens."""
    spans = [*sentences_in(text)]
    if not spans:
        return []
    whole = (spans[0][0], spans[-1][1])
    if whole[1] - whole[0] <= _SAMPLE_CHARS and await count(text[slice(*whole)]) <= room:
        return [whole]
    parts = _packed(text, spans, await _chars_for(text, whole, room, count))
    fitted = await asyncio.gather(*(_fit(text, part, room, count) for part in parts))
    return [each for several in fitted for each in several]


def passages_of(text: str, span: Span, number: int) -> list[Span]:
    """Return up to about `number` passages of a part of a text, of similar size, each of whole sentences."""
    start, end = span
    spans = [(start + first, start + last) for first, last in sentences_in(text[start:end])] or [span]
    return _packed(text, spans, max(_PASSAGE_CHARS, -(-(end - start) // number)))


def cut(text: str, span: Span, num_chars: int) -> list[Span]:
    """Return a part of a text in pieces of at most this many characters, cut between words if it has any."""
    start, end = span
    pieces = []
    while end - start > num_chars:
        middle = _space_before(text, start, start + num_chars)
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, end)]


async def _chars_for(text: str, whole: Span, room: int, count: Count) -> int:
    """Return how many characters are likely to fit, judged by three samples of the text."""
    start, end = whole
    places = {start, (start + end - _SAMPLE_CHARS) // 2, end - _SAMPLE_CHARS}
    samples = [text[max(start, place) : max(start, place) + _SAMPLE_CHARS] for place in sorted(places)]
    frame, *sizes = await asyncio.gather(count(""), *(count(sample) for sample in samples))
    tokens = max(1, sum(sizes) - frame * len(sizes)) / sum(map(len, samples))
    return max(1, int(max(1, room - frame) / tokens * _MARGIN))


def _packed(text: str, spans: Sequence[Span], num_chars: int) -> list[Span]:
    """Return sentences joined to parts of at most this many characters; a longer sentence is cut."""
    parts: list[Span] = []
    for start, end in (piece for span in spans for piece in cut(text, span, num_chars)):
        if parts and end - parts[-1][0] <= num_chars:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return parts


async def _fit(text: str, part: Span, room: int, count: Count) -> list[Span]:
    """Return a part, or its halves if it doesn't fit. A single character is taken as it is."""
    start, end = part
    if end - start <= 1 or await count(text[start:end]) <= room:
        return [part]
    middle = _middle_of(text, part)
    halves = await asyncio.gather(*(_fit(text, half, room, count) for half in ((start, middle), (middle, end))))
    return [*halves[0], *halves[1]]


def _middle_of(text: str, part: Span) -> int:
    """Return where to halve a part: at the sentence nearest its middle."""
    start, end = part
    middle = (start + end) // 2
    starts = [start + first for first, _ in sentences_in(text[start:end])][1:]
    if starts:
        index = bisect_left(starts, middle)
        return min(starts[max(0, index - 1) : index + 1], key=lambda each: abs(each - middle))
    return _space_before(text, start, middle)


def _space_before(text: str, start: int, end: int) -> int:
    """Return the place behind the last space before `end`, or `end` if there is none."""
    place = max(text.rfind(space, start + 1, end) for space in (" ", "\t", "\n"))
    return end if place < 0 else place + 1
