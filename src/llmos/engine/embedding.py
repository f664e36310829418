"""Texts in, vectors out, one step at a time: what Engine is for an encoder. Knows no process, no socket, no thread."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, Conflict, LLMOSError
from llmos.engine.config import EngineConfig
from llmos.engine.embedding_request import PreparedTexts, prepare_texts
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.messages import Counted, Embed, Embedded, EngineStats, Event, Failed, Generate, Started
from llmos.engine.scheduling.turns import Turns

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]


class Encoder(Protocol):
    spec: EncoderSpec

    def forward(self, tokens_N: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]) -> Floats:
        """Return one pooled vector for each sequence, [S, hidden]."""
        ...


class _Request:
    """One that runs: which of its vectors are there."""

    __slots__ = ("num_left", "num_tokens", "prepared", "vectors")

    def __init__(self, prepared: PreparedTexts) -> None:
        self.prepared = prepared
        self.num_tokens = prepared.num_tokens
        self.num_left = len(prepared.texts)
        self.vectors = np.empty((self.num_left, prepared.dimensions), np.float32)


class _Text:
    """One text that waits for its turn."""

    __slots__ = ("arrival", "caller", "num_charged", "place", "priority", "request", "tokens")

    def __init__(self, request: _Request, place: int, arrival: int) -> None:
        self.request = request
        self.place = place
        self.tokens = request.prepared.texts[place]
        self.caller = request.prepared.caller
        self.priority = request.prepared.priority
        self.arrival = arrival
        self.num_charged = 0


class EmbeddingEngine:
    """Batches texts of any lengths, whoever they are from. All methods but prepare() belong to one thread.

    A step takes as many texts as have max_batched_tokens together. Callers take turns as they do in an Engine, and
    so do the requests of one caller: a request of a thousand texts goes on a few at a time, beside all others.

    Every request that admit() accepts ends in exactly one of: Embedded, Failed, or abort().
    """

    def __init__(self, encoder: Encoder, tokenizer: "Tokenizer", config: EngineConfig) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._spec = encoder.spec
        self._budget = config.max_batched_tokens
        self._live: dict[str, _Request] = {}
        self._turns: Turns[_Text] = Turns()
        self._rounds: Counter[str] = Counter()
        """Caller -> the arrival of the text that was taken last: whose request comes now begins there."""
        self.num_computed_tokens = 0
        self._num_steps = 0

    @property
    def context_length(self) -> int:
        """Tokens that a text may have."""
        return self._spec.max_positions

    @property
    def has_work(self) -> bool:
        return bool(self._live)

    def prepare(self, request: Generate | Embed) -> PreparedTexts:
        """Do all of a request's work that needs no engine: check it, and encode its texts. Any thread may call this.

        Raises an LLMOSError that names the field.
        """
        if isinstance(request, Generate):
            raise _writes_nothing()
        return prepare_texts(request, self._tokenizer, self._spec)

    def count(self, request: Generate) -> Counted:
        """Raises BadRequest: there is no prompt of which text could be written."""
        raise _writes_nothing()

    def admit(self, prepared: PreparedTexts) -> Started:
        """Queue a prepared request. Raises Conflict where its id is in use."""
        if prepared.id in self._live:
            raise Conflict(f"A request with the id {prepared.id} is running already. Give every request its own id.")
        request = self._live[prepared.id] = _Request(prepared)
        arrival = self._rounds[prepared.caller]
        for place, tokens in enumerate(prepared.texts):
            # What a caller's other requests are given meanwhile counts as much: they go on side by side.
            self._turns.enter(_Text(request, place, arrival))
            arrival += len(tokens)
        return Started(prepared.id, request.num_tokens)

    def submit(self, request: Embed) -> Started:
        """prepare() and admit() in one."""
        return self.admit(self.prepare(request))

    def abort(self, request_id: str) -> None:
        """Drop the request. Nothing happens where it has ended already."""
        request = self._live.pop(request_id, None)
        if request is None:
            return
        for text in [text for text in self._turns if text.request is request]:
            self._turns.withdraw(text)
            self._turns.leave(text)
        self._forget_rounds()

    def step(self) -> list[Event]:
        """Compute one batch and return what there is to tell."""
        texts = self._take()
        if not texts:
            return []
        self._num_steps += 1
        starts = np.cumsum([0, *(len(text.tokens) for text in texts)], dtype=np.int32)
        tokens_N = np.fromiter((token for text in texts for token in text.tokens), np.int32, int(starts[-1]))
        try:
            pooled_SH = self._encoder.forward(tokens_N, starts)
        except Exception:
            logger.exception("A step failed; the requests in it end here.")
            return self._fail({text.request.prepared.id for text in texts}, "The forward pass failed. Try again.")
        self.num_computed_tokens += len(tokens_N)
        return self._settle(texts, pooled_SH)

    def load(self) -> EngineStats:
        return EngineStats(
            num_running=len(self._live),
            num_waiting=len(self._turns),
            num_free_blocks=0,
            num_preemptions=0,
            num_steps=self._num_steps,
            num_prompt_tokens=self.num_computed_tokens,
            num_output_tokens=0,
        )

    def _take(self) -> list[_Text]:
        """Return the texts whose turn it is; they wait no longer."""
        texts: list[_Text] = []
        num_left = self._budget
        self._turns.step += 1
        for text in self._turns.in_order():
            if texts and len(text.tokens) > num_left:
                break
            num_left -= len(text.tokens)
            self._turns.take(text)
            self._turns.charge(text, len(text.tokens))
            self._rounds[text.caller] = max(self._rounds[text.caller], text.arrival)
            texts.append(text)
        for text in texts:
            self._turns.leave(text)
        return texts

    def _settle(self, texts: Sequence[_Text], pooled_SH: Floats) -> list[Event]:
        events: list[Event] = []
        broken: set[str] = set()
        for text, vector in zip(texts, self._vectors(texts, pooled_SH), strict=True):
            request, id = text.request, text.request.prepared.id
            request.vectors[text.place] = vector
            request.num_left -= 1
            if id in broken or not np.isfinite(vector).all():
                broken.add(id)
            elif not request.num_left:
                del self._live[id]
                events.append(
                    Embedded(
                        id=id,
                        vectors=request.vectors.astype("<f4", copy=False).tobytes(),
                        size=request.prepared.dimensions,
                        num_tokens=request.num_tokens,
                    )
                )
        events += self._fail(broken, "The model's numbers for a text were not numbers.")
        self._forget_rounds()
        return events

    def _vectors(self, texts: Sequence[_Text], pooled_SH: Floats) -> list[Floats]:
        """Return each text's vector, as long as its request wants it. None depends on the texts beside it."""
        sizes = [text.request.prepared.dimensions for text in texts]
        if not self._spec.normalize:
            return [vector[:size] for vector, size in zip(pooled_SH, sizes, strict=True)]
        return [
            vector[:size] / max(float(np.sqrt(np.square(vector[:size]).sum())), 1e-12)
            for vector, size in zip(pooled_SH, sizes, strict=True)
        ]

    def _fail(self, request_ids: set[str], message: str) -> list[Event]:
        for request_id in request_ids:
            self.abort(request_id)
        return [Failed(request_id, LLMOSError.code, message) for request_id in sorted(request_ids)]

    def _forget_rounds(self) -> None:
        if not self._live:
            self._rounds.clear()  # callers come and go; this must not grow with them


def _writes_nothing() -> BadRequest:
    return BadRequest("This model turns texts into vectors and writes none. Ask one that does.", param="model")
