"""Makes the masks of a step's grammars during the forward pass, since they depend only on the tokens before it.

step thread    start(rows) ---- forward, without the GIL ---- finish() ---- sample
masks thread        `---------- fill, fill, …, without the GIL ----´
"""

import logging
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from llmos.engine.sampling.sampler import Masks
from llmos.engine.text.grammar import ALL_TOKENS, GrammarMatcher

logger = logging.getLogger(__name__)

Row = tuple[GrammarMatcher | None, list[int]]
"""A sequence's grammar, or None, and the draft behind its last token."""


class MaskMaker:
    """Makes the masks of one step at a time. Matchers may be used only between finish() and the next start()."""

    def __init__(self, vocab_size: int) -> None:
        self._num_words = (vocab_size + 31) // 32
        self._words_MW: npt.NDArray[np.uint32] = np.zeros((0, self._num_words), np.uint32)
        self._thread: ThreadPoolExecutor | None = None
        self._mask_of_R: npt.NDArray[np.int32] | None = None
        self._filled: Future[None] | None = None

    def start(self, rows: Iterable[Row]) -> None:
        """Start making the masks of these sequences' rows of logits: one each, and one more for each drafted token."""
        jobs: list[tuple[GrammarMatcher, int, list[int]]] = []
        mask_of: list[int] = []
        num_masks = 0
        for matcher, draft in rows:
            num_rows = 1 + len(draft)
            if matcher is None:
                mask_of += [-1] * num_rows
            else:
                jobs.append((matcher, num_masks, draft))
                mask_of += range(num_masks, num_masks + num_rows)
                num_masks += num_rows
        if not jobs:
            return
        if len(self._words_MW) < num_masks:
            self._words_MW = np.zeros((2 * num_masks, self._num_words), np.uint32)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "masks")
        self._mask_of_R = np.array(mask_of, np.int32)
        self._filled = self._thread.submit(self._fill, jobs)

    def finish(self) -> Masks | None:
        """Wait for the masks; None if no row has a grammar. A matcher that failed has its `failure` set."""
        filled, self._filled = self._filled, None
        if filled is None:
            return None
        filled.result()
        assert self._mask_of_R is not None
        return Masks(self._words_MW, self._mask_of_R)

    def _fill(self, jobs: list[tuple[GrammarMatcher, int, list[int]]]) -> None:
        for matcher, first, draft in jobs:
            masks_RW = self._words_MW[first : first + 1 + len(draft)]
            try:
                matcher.fill_masks(masks_RW, draft)
            except BaseException:  # a panic in llguidance is not an Exception
                logger.exception("The masks of a grammar could not be made; its request fails.")
                matcher.failure = "its masks could not be made"
                masks_RW[:] = ALL_TOKENS
