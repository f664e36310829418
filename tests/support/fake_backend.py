"""A backend with a scripted model, and helpers to write scripts."""

import asyncio
import struct
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec

from llmos.core.errors import BadRequest
from llmos.deployments.backend import Target
from llmos.engine.checkpoint.metadata import Metadata
from llmos.engine.messages import (
    Delta,
    Embed,
    Embedded,
    Event,
    Generate,
    Rate,
    Rated,
    Started,
    Tokenize,
    Tokenized,
    TokenLogprob,
    TokenScore,
)

Script = list[Delta | str | Exception | asyncio.Event | None]


@dataclass
class FakeModel:
    """Plays one script per request, in the order in which they were enqueued, and "Hello" when none is left."""

    scripts: list[Script] = field(default_factory=list)
    requests: list[Generate] = field(default_factory=list)
    counted: list[Generate] = field(default_factory=list)
    tokenized: list[Generate] = field(default_factory=list)
    embedded: list[Embed] = field(default_factory=list)
    embed_error: Exception | None = None
    rated: list[Rate] = field(default_factory=list)
    rate_errors: list[Exception] = field(default_factory=list)
    """Raised by the next calls that score texts, one each."""
    closed_early: list[str] = field(default_factory=list)
    """The ids of requests whose stream was closed before its end."""
    num_prompt_tokens: int = 5
    num_cached_tokens: int = 0
    """The prompt tokens of scored texts, and the cached ones among them."""
    ignored: list[str] = field(default_factory=list)
    """The fields that the engine says had no effect."""
    gate: asyncio.Event | None = None
    """No request is accepted before it is set."""
    someone_came: asyncio.Event = field(default_factory=asyncio.Event)
    never: asyncio.Event = field(default_factory=asyncio.Event)
    """A script that waits for it does not end by itself."""
    was_closed_early: threading.Event = field(default_factory=threading.Event)

    def enqueue(self, *script: Delta | str | Exception | asyncio.Event | None) -> None:
        """Add a script. A str is a delta of one token; an Event is waited for; an exception is raised; at None the
        stream ends without a finish reason.

        A script without an explicit end ends each of its choices with "stop".
        """
        self.scripts.append(list(script))

    async def play(self, request: Generate) -> AsyncIterator[Event]:
        """Yield the events of the next script."""
        self.requests.append(request)
        script = self.scripts.pop(0) if self.scripts else ["Hel", "lo"]
        is_complete = False
        self.someone_came.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            async for event in self._events(request, script):
                yield event
            is_complete = True
        finally:
            if not is_complete:
                self.closed_early.append(request.id)
                self.was_closed_early.set()

    async def count_tokens(self, request: Generate) -> int:
        self.counted.append(request)
        try:
            for step in self.scripts.pop(0) if self.scripts else []:
                if isinstance(step, Exception):
                    raise step
                assert isinstance(step, asyncio.Event), "nothing else happens while a prompt is counted"
                await step.wait()
        except asyncio.CancelledError:
            self.was_closed_early.set()
            raise
        return self.num_prompt_tokens

    async def tokenize_prompt(self, command: Tokenize) -> Tokenized:
        """Return the tokens of the request, or one for each character of its text."""
        request = command.request
        self.tokenized.append(request)
        tokens = [ord(each) for each in request.text] if request.text is not None else request.tokens or []
        texts = [chr(token) for token in tokens]
        return Tokenized(id=request.id, tokens=tokens, token_texts=texts, text="".join(texts), context_length=8192)

    async def embed_texts(self, request: Embed) -> Embedded:
        """Return a vector of two numbers for each input: its length, and how many inputs came with it. The score of a
        pair is the length of its document."""
        self.embedded.append(request)
        self.someone_came.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except BaseException:
            self.closed_early.append(request.id)
            self.was_closed_early.set()
            raise
        if self.embed_error is not None:
            raise self.embed_error
        if request.pairs:
            scores = [len(document) for _, document in request.pairs]
            vectors = struct.pack(f"<{len(scores)}f", *scores)
            return Embedded(id=request.id, vectors=vectors, size=1, num_tokens=sum(scores))
        vectors = b"".join(struct.pack("<ff", len(each), len(request.inputs)) for each in request.inputs)
        num_tokens = sum(len(each) for each in request.inputs)
        return Embedded(id=request.id, vectors=vectors, size=2, num_tokens=num_tokens)

    async def rate_texts(self, command: Rate) -> Rated:
        """Return scores of texts whose tokens are their characters; see score()."""
        self.rated.append(command)
        self.someone_came.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except BaseException:
            self.closed_early.append(command.id)
            self.was_closed_early.set()
            raise
        if self.rate_errors:
            raise self.rate_errors.pop(0)
        prompt = command.request.text or "".join(map(chr, command.request.tokens or [])) or "hello"
        rated = rated_prompt(command.id, prompt, command.num_top) if command.scores_prompt else Rated(id=command.id)
        texts = [each if isinstance(each, str) else "".join(map(chr, each)) for each in command.continuations]
        return msgspec.structs.replace(
            rated,
            continuations=[[score(each, command.num_top) for each in text] for text in texts],
            num_prompt_tokens=len(prompt),
            num_cached_tokens=self.num_cached_tokens,
            num_computed_tokens=len(prompt) - self.num_cached_tokens + sum(map(len, texts)),
        )

    async def _events(self, request: Generate, script: Script) -> AsyncIterator[Event]:
        if script and isinstance(script[0], Exception):
            raise script[0]
        yield Started(request.id, self.num_prompt_tokens, self.ignored)
        if request.prompt_logprobs is not None:
            prompt = request.text or "".join(map(chr, request.tokens or [])) or "hello"
            yield rated_prompt(request.id, prompt, request.prompt_logprobs)
        if request.sampling.max_tokens == 0:
            for index in range(request.sampling.n):
                echo = prompt if request.echo else ""
                yield Delta(id=request.id, index=index, text=echo, finish_reason="length", num_output_tokens=0)
            return
        counts = dict.fromkeys(range(request.sampling.n), 0)
        ended: set[int] = set()
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            elif step is None:
                return
            elif isinstance(step, str):
                for index in counts:
                    counts[index] += 1
                    yield Delta(id=request.id, index=index, text=step, num_output_tokens=counts[index])
            else:
                counts[step.index] = step.num_output_tokens
                ended |= {step.index} if step.finish_reason else set()
                yield step
        for index in counts.keys() - ended:
            yield Delta(id=request.id, index=index, finish_reason="stop", num_output_tokens=counts[index] + 1)


class FakeBackend:
    """A backend for a target, over a FakeModel: no pool, no files, no process."""

    def __init__(self, target: Target, model: FakeModel) -> None:
        self.served = target.served
        self.replica_ref = target.served.ref
        self.adapter = None
        self._task, self._model = target.task, model

    async def check_generates(self) -> None:
        if self._task != "generate":
            raise BadRequest(f"{self.served.ref} generates no text.", param="model")

    async def check_embeds(self) -> None:
        if self._task != "embed":
            raise BadRequest(f"{self.served.ref} makes no vectors.", param="model")

    async def check_compares(self) -> bool:
        if self._task != "rerank":
            await self.check_embeds()
        return self._task == "rerank"

    async def check_counts(self) -> None:
        await self.check_generates()

    async def metadata(self) -> Metadata | None:
        return None

    async def ensure(self, *, wait: bool = False) -> None:
        """Do nothing: the model is always loaded."""

    async def generate(self, request: Generate, given: frozenset[str]) -> AsyncGenerator[Event, None]:
        async with aclosing(self._model.play(request)) as events:
            async for event in events:
                yield event

    async def embed(self, request: Embed) -> Embedded:
        return await self._model.embed_texts(request)

    async def check_rates(self) -> None:
        await self.check_generates()

    async def rate(self, command: Rate) -> Rated:
        return await self._model.rate_texts(command)

    async def count(self, request: Generate) -> int:
        return await self._model.count_tokens(request)

    async def tokenize(self, command: Tokenize) -> Tokenized:
        return await self._model.tokenize_prompt(command)

    async def stop(self) -> None:
        """Do nothing: the model stays loaded."""


class Reached(asyncio.Event):
    """An event that never blocks a script: it signals another thread that the script has reached it."""

    def __init__(self) -> None:
        super().__init__()
        self._told = threading.Event()

    async def wait(self) -> bool:  # type: ignore[override]
        self._told.set()
        return True

    async def told(self) -> None:
        assert await asyncio.to_thread(self._told.wait, 60)


def score(character: str, num_top: int = 0) -> TokenScore:
    """Return the score of a character: -1 for a, -2 for b and so on, where a to t are the most likely ones."""
    rank = ord(character) - ord("a") + 1
    top = [(ord(each), each, each.encode(), -1.0 * i) for i, each in enumerate(ALPHABET[:num_top], 1)]
    return TokenScore(ord(character), character, character.encode(), -1.0 * rank, rank, 0.5, top)


ALPHABET = "abcdefghijklmnopqrst"


def rated_prompt(id: str, prompt: str, num_top: int) -> Rated:
    first, *rest = prompt
    return Rated(
        id=id, prompt_start=(ord(first), first, first.encode()), prompt=[score(each, num_top) for each in rest]
    )


def token(text: str, logprob: float = -0.5, *top: tuple[str, float]) -> TokenLogprob:
    return TokenLogprob(7, text, text.encode(), logprob, [(8, each, each.encode(), at) for each, at in top])
