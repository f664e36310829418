"""Decides behind which positions of a sequence its recurrent state is kept. Knows no memory and no tree.

tokens   [ system prompt ......... | question ......... | answer ............ ]
         0     ^ interval          ^ junction        ^ prompt end        ^ rolling

junction     where this prompt leaves one that was computed before: others probably share that part, too
prompt end   the last whole block before the prompt's last token: the same prompt again, or the next turn
interval     every 256 tokens, at most 8 of a sequence: a later prompt may share any part of this one
rolling      the last whole block of the answer, which replaces the one before: the next turn, or a preemption
"""

from collections.abc import Iterable

from llmos.engine.runner import BLOCK_SIZE

LEAST_GAIN = 64
"""Tokens that a snapshot saves at least. A shorter prefix is computed again."""
_INTERVAL = 256
_MOST_INTERVALS = 8


def interval(num_tokens: int) -> int:
    """Return the distance between a sequence's snapshots: a power of two, so that sequences of any length agree."""
    distance = _INTERVAL
    while num_tokens > _MOST_INTERVALS * distance:
        distance *= 2
    return distance


def prompt_end(num_tokens: int) -> int:
    """Return the end of the last whole block before the last token, which is always computed for its logits."""
    return (num_tokens - 1) // BLOCK_SIZE * BLOCK_SIZE


def lasting_positions(start: int, end: int, num_tokens: int, wanted: Iterable[int]) -> list[int]:
    """Return the positions after `start` and up to `end` where a sequence of num_tokens keeps its state for others,
    most valuable first. `wanted`: those where others are known to share its tokens.
    """
    step = interval(num_tokens)
    intervals = range(end // step * step, start, -step)
    positions = dict.fromkeys([*wanted, prompt_end(num_tokens), *intervals])
    return [position for position in positions if max(start, LEAST_GAIN - 1) < position <= end]
