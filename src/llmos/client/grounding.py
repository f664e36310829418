"""Grounding: which passages each sentence of an answer rests on. It is computed, and no model is asked for it.

A sentence rests on a passage if it becomes less likely when that passage is left out of the prompt (leave-one-out).
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

from llmos.client.prompted_models import Scores
from llmos.core.schemas.knowledge import Citation, Sentence
from llmos.core.sentences import Span, sentences_in

Unsupported = Literal["drop", "mark"]
"""The treatment of a sentence that nothing supports: leave it out, or mark it."""
MIN_DROP = 0.75
"""The least average loss of log probability per token of a sentence, in nats, when the passage that supports it is
taken out of the prompt. docs/apps.md has the measurement."""
_MARK = " [unsupported]"


def ground(
    text: str, scores: Scores, citations: Sequence[Citation], spans: Sequence[Span] | None = None
) -> list[Sentence]:
    """Return the sentences of an answer with their citations.

    `scores`: of the text behind the whole prompt, behind one without any source, and then without each. `citations`:
    those of the sources; further ones, such as the results of tools, support sentences and aren't cited.
    Where passages say the same, none is missed alone, and the one that is missed most is cited.
    """
    spans = [*sentences_in(text)] if spans is None else spans
    whole, *without = [_means(text, spans, tokens) for tokens in scores.tokens]
    drops = [[whole[index] - each[index] for each in without] for index in range(len(spans))]
    return [_sentence(text[start:end], each, citations) for (start, end), each in zip(spans, drops, strict=True)]


def supported_text(text: str, sentences: Sequence[Sentence], unsupported: Unsupported) -> str:
    """Return an answer without the sentences that nothing supports, or with marks behind them."""
    parts, end = [], 0
    for each in sentences:
        start, before = text.index(each.text, end), end
        end = start + len(each.text)
        if each.is_supported or unsupported == "mark":
            parts.append(text[before:end] + ("" if each.is_supported else _MARK))
    return "".join(parts).strip()


def _sentence(text: str, drops: Sequence[float], citations: Sequence[Citation]) -> Sentence:
    """Return a sentence. `drops`: what it loses without any source, and then without each."""
    without_any, *without = drops
    order = sorted(range(len(without)), key=lambda index: -without[index])
    rests_on = [index for index in order if without[index] >= MIN_DROP]
    if not rests_on and without_any >= MIN_DROP:
        rests_on = order[:1]
    cited = tuple(citations[index] for index in rests_on if index < len(citations))
    return Sentence(text=text, citations=cited, is_supported=bool(rests_on))


def _means(text: str, spans: Sequence[Span], tokens: Sequence[tuple[int, float]]) -> list[float]:
    """Return the mean log probability of each sentence's tokens. A token belongs where its last byte is."""
    starts = [len(text[:start].encode()) for start, _ in spans]
    sums, counts, end = [0.0] * len(spans), [0] * len(spans), 0
    for num_bytes, logprob in tokens:
        end += num_bytes
        index = max(0, bisect_right(starts, end - 1) - 1)
        sums[index], counts[index] = sums[index] + logprob, counts[index] + 1
    return [total / max(1, count) for total, count in zip(sums, counts, strict=True)]
