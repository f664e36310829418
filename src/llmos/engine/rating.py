"""Collects the scores of one request's given tokens, step by step, until all are there. Knows tokens, no sequences."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmos.engine.messages import Rated, TokenScore, TopLogprob
from llmos.engine.runner import Scores

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer


def text_and_bytes(tokenizer: "Tokenizer", token: int) -> tuple[str, bytes]:
    """Return the text of a token alone, with U+FFFD for a part of a character, and its bytes."""
    data = tokenizer.token_bytes(token)
    return data.decode(errors="replace"), data


class Rating:
    """The scores of a request as far as they are computed.

    rating.add(scores, first, slots, tokens)   # those that one step computed of one sequence
    rating.result()                            # once all are there
    """

    def __init__(
        self,
        request_id: str,
        tokenizer: "Tokenizer",
        *,
        num_top: int,
        prompt: Sequence[int] | None = None,
        continuations: Sequence[Sequence[int]] = (),
        num_slots: int,
    ) -> None:
        """`prompt`: its tokens, if they are scored; their scores have the first slots. `continuations`: the slots of
        each."""
        self.num_top = num_top
        self._request_id = request_id
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._continuations = continuations
        self._scores: list[TokenScore | None] = [None] * num_slots

    @property
    def num_continuation_tokens(self) -> int:
        return sum(map(len, self._continuations))

    def add(self, scores: Scores, first: int, slots: Iterable[int], tokens: Sequence[int]) -> bool:
        """Add the scores of these tokens, which are those of a step from `first` on. Return whether all are finite."""
        rows = slice(first, first + len(tokens))
        if not np.isfinite(scores.logprobs_Q[rows]).all():
            return False
        each = zip(
            slots,
            tokens,
            scores.logprobs_Q[rows].tolist(),
            scores.ranks_Q[rows].tolist(),
            scores.entropies_Q[rows].tolist(),
            self._tops(scores.top_ids_QK[rows], scores.top_logprobs_QK[rows]),
            strict=True,
        )
        for slot, token, logprob, rank, entropy, top in each:
            assert self._scores[slot] is None, "a token is scored twice"
            self._scores[slot] = TokenScore(token, *self._text(token), logprob, rank, entropy, top)
        return True

    def result(
        self, *, num_prompt_tokens: int, num_cached_tokens: int, num_computed_tokens: int, queued_micros: int = 0
    ) -> Rated:
        """Return all scores, which must be complete."""
        scores = [score for score in self._scores if score is not None]
        assert len(scores) == len(self._scores), "a token has no score"
        return Rated(
            id=self._request_id,
            continuations=[[scores[slot] for slot in slots] for slots in self._continuations],
            prompt=scores[: len(self._prompt) - 1] if self._prompt else [],
            prompt_start=(self._prompt[0], *self._text(self._prompt[0])) if self._prompt else None,
            num_prompt_tokens=num_prompt_tokens,
            num_cached_tokens=num_cached_tokens,
            num_computed_tokens=num_computed_tokens,
            queued_micros=queued_micros,
        )

    def _tops(self, ids_QK: npt.NDArray[np.int32], logprobs_QK: npt.NDArray[np.float32]) -> Iterable[list[TopLogprob]]:
        k = self.num_top
        for ids, logprobs in zip(ids_QK[:, :k].tolist(), logprobs_QK[:, :k].tolist(), strict=True):
            yield [(token, *self._text(token), value) for token, value in zip(ids, logprobs, strict=True)]

    def _text(self, token: int) -> tuple[str, bytes]:
        return text_and_bytes(self._tokenizer, token)
