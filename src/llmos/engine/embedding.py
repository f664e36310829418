"""Texts in, vectors out, one step at a time: the Engine of an encoder. Knows no process, no socket, no thread."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, Conflict, LLMOSError
from llmos.engine.config import EngineConfig
from llmos.engine.embedding_request import PreparedTexts, prepare_texts
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.messages import (
    Counted,
    Embed,
    Embedded,
    EngineStats,
    Event,
    Failed,
    Generate,
    Rate,
    Started,
    Tokenize,
    Tokenized,
)
from llmos.engine.pair_request import prepare_pairs
from llmos.engine.runner import SequencesRefused
from llmos.engine.scheduling.fair_queue import FairQueue

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

_FORWARD_FAILED = "The forward pass failed. Try again."


class Encoder(Protocol):
    """The interface of a NativeEncoder, DecoderEmbedder or CrossEncoder that the engine uses."""

    @property
    def spec(self) -> EncoderSpec: ...

    def forward(
        self,
        tokens_N: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int32],
        types_N: npt.NDArray[np.int32] | None = None,
    ) -> Floats:
        """Return one pooled vector for each of S sequences, [S, hidden], or the score of each, [S, 1]; sequence s is
        tokens_N[starts[s]:starts[s + 1]], and `types_N` has the types of its tokens."""
        ...


class _Request:
    """A live request, and those of its vectors that are computed."""

    __slots__ = ("admitted_at", "num_left", "num_tokens", "prepared", "queued_micros", "vectors")

    def __init__(self, prepared: PreparedTexts) -> None:
        self.prepared = prepared
        self.admitted_at = time.perf_counter()
        self.queued_micros: int | None = None
        """The time that it waited for its first batch, in microseconds; None while it waits."""
        self.num_tokens = prepared.num_tokens
        self.num_left = len(prepared.texts)
        self.vectors = np.empty((self.num_left, prepared.dimensions), np.float32)


class _Text:
    """One waiting text of a request."""

    __slots__ = ("arrival", "caller", "index", "num_charged", "priority", "request", "tokens")

    def __init__(self, request: _Request, index: int, arrival: int) -> None:
        self.request = request
        self.index = index
        self.tokens = request.prepared.texts[index]
        self.caller = request.prepared.caller
        self.priority = request.prepared.priority
        self.arrival = arrival
        self.num_charged = 0


def _types(texts: Sequence[_Text]) -> list[npt.NDArray[np.int32]]:
    """Return the types of the texts' tokens, in a list that is empty if they have none."""
    types = [each for text in texts if text.request.prepared.types for each in text.request.prepared.types[text.index]]
    return [np.array(types, np.int32)] if types else []


class EmbeddingEngine:
    """Batches texts of all requests. All methods but prepare() and count() belong to one thread.

    A step takes as many texts as have max_batched_tokens together. Callers share the engine fairly, as they do an
    Engine, and so do the requests of one caller: a request of a thousand texts advances beside all others.

    Every request that admit() accepts ends in exactly one of: Embedded, Failed, or abort().
    """

    def __init__(self, encoder: Encoder, tokenizer: "Tokenizer", config: EngineConfig) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._spec = encoder.spec
        self._budget = config.max_batched_tokens
        self._live: dict[str, _Request] = {}
        self._waiting: FairQueue[_Text] = FairQueue()
        self._service: Counter[str] = Counter()
        """Caller -> the highest arrival that a taken text had. A new request of the caller starts there."""
        self.num_computed_tokens = 0
        self._num_steps = 0

    @property
    def context_length(self) -> int:
        """Tokens that a text may have."""
        return self._spec.max_positions

    @property
    def has_work(self) -> bool:
        return bool(self._live)

    def prepare(self, request: Generate | Rate | Embed) -> PreparedTexts:
        """Check a request and encode its texts. Any thread may call this.

        Raises an LLMOSError that names the wrong field.
        """
        if isinstance(request, Generate | Rate):
            raise self._no_text_error()
        if self._spec.score_head is not None:
            return prepare_pairs(request, self._tokenizer, self._spec)
        if request.pairs:
            raise BadRequest("This model makes vectors and scores no pairs of texts. Use a reranker.", param="model")
        return prepare_texts(request, self._tokenizer, self._spec)

    def count(self, request: Generate) -> Counted:
        """Raise BadRequest: an encoder takes no prompts."""
        raise self._no_text_error()

    def tokenize(self, command: Tokenize) -> Tokenized:
        """Raise BadRequest: an encoder takes no prompts."""
        raise self._no_text_error()

    def admit(self, prepared: PreparedTexts) -> Started:
        """Queue a prepared request. Raises Conflict if its id is in use."""
        if prepared.id in self._live:
            raise Conflict(f"A request with the id {prepared.id} is running already. Give every request its own id.")
        request = self._live[prepared.id] = _Request(prepared)
        arrival = self._service[prepared.caller]
        for index, tokens in enumerate(prepared.texts):
            # Counted in tokens, as the caller's other requests are, so that they advance side by side.
            self._waiting.add(_Text(request, index, arrival))
            arrival += len(tokens)
        return Started(prepared.id, request.num_tokens)

    def submit(self, request: Embed) -> Started:
        """Prepare and admit a request."""
        return self.admit(self.prepare(request))

    def abort(self, request_id: str) -> None:
        """Drop a request. Does nothing if it has ended already."""
        request = self._live.pop(request_id, None)
        if request is None:
            return
        for text in [text for text in self._waiting if text.request is request]:
            self._waiting.remove(text)
            self._waiting.finish(text)
        self._reset_service()

    def step(self) -> list[Event]:
        """Compute one batch and return its events: schedule, run, postprocess."""
        texts = self._schedule()
        if not texts:
            return []
        self._num_steps += 1
        starts = np.cumsum([0, *(len(text.tokens) for text in texts)], dtype=np.int32)
        tokens_N = np.fromiter((token for text in texts for token in text.tokens), np.int32, int(starts[-1]))
        try:
            pooled_SH = self._encoder.forward(tokens_N, starts, *_types(texts))
        except SequencesRefused as refused:
            logger.error("A step was refused for some of its texts: %s.", refused)
            events = self._fail({texts[i].request.prepared.id for i in refused.indices}, _FORWARD_FAILED)
            self._put_back([text for text in texts if text.request.prepared.id in self._live])
            return events
        except Exception:
            logger.exception("A step failed; all requests in its batch fail.")
            return self._fail({text.request.prepared.id for text in texts}, _FORWARD_FAILED)
        self.num_computed_tokens += len(tokens_N)
        return self._postprocess(texts, pooled_SH)

    def load(self) -> EngineStats:
        """Return the counters of the engine."""
        return EngineStats(
            num_running=len(self._live),
            num_waiting=len(self._waiting),
            num_free_blocks=0,
            num_preemptions=0,
            num_steps=self._num_steps,
            num_prompt_tokens=self.num_computed_tokens,
            num_output_tokens=0,
        )

    def _schedule(self) -> list[_Text]:
        """Take the texts of the next batch from the queue."""
        texts: list[_Text] = []
        num_left = self._budget
        self._waiting.step += 1
        for text in self._waiting.in_order():
            if texts and len(text.tokens) > num_left:
                break
            num_left -= len(text.tokens)
            self._waiting.take(text)
            self._waiting.charge(text, len(text.tokens))
            self._service[text.caller] = max(self._service[text.caller], text.arrival)
            texts.append(text)
        now = time.perf_counter()
        for text in texts:
            self._waiting.finish(text)
            if text.request.queued_micros is None:
                text.request.queued_micros = round((now - text.request.admitted_at) * 1e6)
        return texts

    def _put_back(self, texts: Sequence[_Text]) -> None:
        """Queue texts again that a step took and didn't compute."""
        for text in texts:
            self._waiting.add(text)

    def _postprocess(self, texts: Sequence[_Text], pooled_SH: Floats) -> list[Event]:
        events: list[Event] = []
        failed_requests: set[str] = set()
        for text, vector in zip(texts, self._vectors(texts, pooled_SH), strict=True):
            request, id = text.request, text.request.prepared.id
            request.vectors[text.index] = vector
            request.num_left -= 1
            if id in failed_requests or not np.isfinite(vector).all():
                failed_requests.add(id)
            elif not request.num_left:
                del self._live[id]
                events.append(
                    Embedded(
                        id=id,
                        vectors=request.vectors.astype("<f4", copy=False).tobytes(),
                        size=request.prepared.dimensions,
                        num_tokens=request.num_tokens,
                        queued_micros=request.queued_micros or 0,
                    )
                )
        events += self._fail(failed_requests, "The model computed a vector that is not finite.")
        self._reset_service()
        return events

    def _vectors(self, texts: Sequence[_Text], pooled_SH: Floats) -> list[Floats]:
        """Return each text's vector, cut to the dimensions of its request. None depends on the texts beside it."""
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

    def _reset_service(self) -> None:
        if not self._live:
            self._service.clear()  # it must not grow with every caller that ever came

    def _no_text_error(self) -> BadRequest:
        does = "makes embeddings" if self._spec.score_head is None else "scores pairs of texts"
        return BadRequest(f"This model {does} and generates no text. Use a model that generates text.", param="model")
