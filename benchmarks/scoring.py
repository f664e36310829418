"""Measure how well a runner predicts the text of the cards, and whether it answers as another one does.

For quality.py; the predicting itself is the cards'.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.engine.evaluation.predictions import ROWS_AT_ONCE, batch_of, increase, perplexity, predict
from llmos.engine.evaluation.text import cut_windows, held_out_text
from llmos.engine.runner import BLOCK_SIZE, Runner
from llmos.engine.text.tokenizer import Tokenizer

# W windows, L tokens of a window, N tokens of all windows but the first of each
# P prompts, T tokens of a prompt, A tokens of an answer

WINDOW = 1024
PROMPTS = 64
PROMPT_TOKENS = 64
ANSWER_TOKENS = 32
NUM_BLOCKS = PROMPTS * -(-(PROMPT_TOKENS + ANSWER_TOKENS) // BLOCK_SIZE)
"""Blocks of KV cache that a runner needs."""

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Text:
    windows_WL: Ints
    """The first tokens of the text, [W, L]. Each window is predicted independently."""
    prompts_PT: Ints
    """Prompts from all parts of the text, [P, T]."""


@dataclass(frozen=True, slots=True)
class Score:
    losses_N: Floats
    """-log p of every token of a window but its first, [N]."""
    choices_PA: Ints
    """The most probable token after each prompt, and after each prompt with part of its answer."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a score from another one."""

    perplexity: float
    perplexity_increase: float
    """Relative increase; 0.01 is one percent."""
    standard_error: float
    """Standard error of the increase."""
    agreement: float
    """Share of positions at which both choose the same token after the same tokens."""
    tokens_until_differing: float
    """Mean length of the common beginning of both answers, at most ANSWER_TOKENS."""


def cut_text(tokenizer: Tokenizer, num_windows: int) -> Text:
    tokens = np.array(tokenizer.encode(held_out_text(), add_bos=False), np.int32)
    windows_WL = cut_windows(tokenizer, num_windows, WINDOW)
    if len(windows_WL) < num_windows:
        raise SystemExit(f"The text has {len(windows_WL)} windows of {WINDOW} tokens; take no more than that.")
    places = np.linspace(0, len(tokens) - PROMPT_TOKENS, PROMPTS).astype(int)
    return Text(
        windows_WL=windows_WL,
        prompts_PT=np.stack([tokens[place : place + PROMPT_TOKENS] for place in places]),
    )


def answer(runner: Runner, prompts_PT: Ints) -> Ints:
    """Return the greedy answer to each prompt, [P, A]."""
    blocks_PB = _blocks_of_their_own(len(prompts_PT))
    logits = [
        runner.forward(batch_of(part, 0, blocks, last=1)).argmax(axis=1)
        for part, blocks in _parts(prompts_PT, blocks_PB)
    ]
    answers = [np.concatenate(logits).astype(np.int32)]
    for length in range(PROMPT_TOKENS, PROMPT_TOKENS + ANSWER_TOKENS - 1):
        logits_PV = runner.forward(batch_of(answers[-1][:, None], length, blocks_PB, last=1))
        answers.append(logits_PV.argmax(axis=1).astype(np.int32))
    return np.stack(answers, axis=1)


def score(runner: Runner, text: Text, answers_PA: Ints) -> Score:
    """Predict every window, and every token of these answers."""
    tokens_PX = np.concatenate([text.prompts_PT, answers_PA[:, :-1]], axis=1)
    choices = [
        runner.forward(batch_of(part, 0, blocks, last=ANSWER_TOKENS)).argmax(axis=1).reshape(len(part), -1)
        for part, blocks in _parts(tokens_PX, _blocks_of_their_own(len(tokens_PX)))
    ]
    return Score(
        losses_N=predict(runner, text.windows_WL).losses_N,
        choices_PA=np.concatenate(choices).astype(np.int32),
    )


def compare(score: Score, reference: Score) -> Difference:
    more = increase(score.losses_N, reference.losses_N)
    same_PA = score.choices_PA == reference.choices_PA
    until = np.where(same_PA.all(axis=1), ANSWER_TOKENS, (~same_PA).argmax(axis=1))
    return Difference(
        perplexity=perplexity(score.losses_N)[0],
        perplexity_increase=more.share,
        standard_error=more.standard_error,
        agreement=float(same_PA.mean()),
        tokens_until_differing=float(until.mean()),
    )


def _blocks_of_their_own(num_sequences: int) -> Ints:
    return np.arange(num_sequences * (NUM_BLOCKS // PROMPTS), dtype=np.int32).reshape(num_sequences, -1)


def _parts(*arrays: Ints) -> Sequence[tuple[Ints, ...]]:
    """Split arrays of sequences into parts that are computed together."""
    step = max(1, ROWS_AT_ONCE // ANSWER_TOKENS)
    return [tuple(array[i : i + step] for array in arrays) for i in range(0, len(arrays[0]), step)]
