"""Findings of a service, your own or another's, in texts that are sent to it over HTTP."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

import httpx
import msgspec

from llmos.core.errors import BadRequest
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import (
    ALL_ACTIONS,
    ALL_CHANNELS,
    ALL_SOURCES,
    BOTH_SIDES,
    Action,
    Channel,
    Hit,
    Piece,
    Side,
    Source,
    text_of,
)
from llmos.security.guardrails.outside_service import FoundHit, OutsideService, Question

_TOKEN_ENV = re.compile(r"LLMOS_WEBHOOK_[A-Z0-9_]{1,64}")


class Options(guardrail.Options, frozen=True, kw_only=True):
    url: str
    """The https URL that receives a request for each prompt, and for each piece of an answer."""
    budget_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 2000
    """The time for one prompt or one chunk of an answer, and for one request, by the clock; by default 2000."""
    characters: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500
    """The length of the pieces in which an answer is sent. A piece is held back until then; by default 500."""
    allow_private: bool = False
    """The service is your own: http and private addresses are allowed, too. Metadata addresses of clouds never are."""
    token_env: str | None = None
    """The environment variable of the server with a token that is sent to the service. LLMOS_WEBHOOK_…"""


class Webhook:
    actions: ClassVar[Sequence[Action]] = ALL_ACTIONS
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = True

    def __init__(self, service: OutsideService, num_characters: int) -> None:
        self.service, self.num_characters = service, num_characters

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        hits = self.service.ask(Question(side="input", texts=texts)).hits if any(texts) else ()
        for i, text in enumerate(texts):
            yield _pieces(text, [hit for hit in hits if hit.text == i])

    def screen_stream(self) -> "_Stream":
        return _Stream(self)


class _Stream:
    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._held = self._before = ""

    def push(self, chunk: str) -> Iterator[Piece]:
        self._held += chunk
        while len(self._held) >= self._webhook.num_characters:
            yield from self._judge(self._webhook.num_characters)

    def finish(self) -> Iterator[Piece]:
        if self._held:
            yield from self._judge(len(self._held))

    def held(self) -> str:
        return self._held

    def _judge(self, length: int) -> Iterator[Piece]:
        piece = self._held[:length]
        hits = self._webhook.service.ask(Question(side="output", texts=[piece], before=self._before)).hits
        self._before = piece
        for each in _pieces(piece, hits):
            self._held = self._held[len(text_of(each)) :]
            yield each


def _pieces(text: str, hits: Sequence[FoundHit]) -> Iterator[Piece]:
    """Yield the text and the hits in it. Of hits that overlap, the first one has what they share."""
    done = 0
    for hit in sorted(hits, key=lambda hit: hit.begin):
        begin, end = max(hit.begin, done), len(text) if hit.end is None else hit.end
        if end > begin:
            yield text[done:begin]
            yield Hit(hit.rule, text[begin:end])
            done = end
    yield text[done:]


GUARDRAIL = Webhook


def open(options: Options) -> Webhook:
    service = OutsideService(
        _url(options),
        timeout_seconds=options.budget_ms / 1000,
        allow_private=options.allow_private,
        token=None if options.token_env is None else _token(options.token_env),
    )
    return Webhook(service, options.characters)


def _url(options: Options) -> httpx.URL:
    try:
        url = httpx.URL(options.url)
    except httpx.InvalidURL as error:
        raise BadRequest(f"`url` {options.url[:200]!r} can't be read: {error}.", param="url") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise BadRequest("`url` must be such as https://example.com/screen.", param="url")
    if url.userinfo:
        raise BadRequest(
            "`url` has a password, which everybody can read who may read the policy. Use `token_env`.", param="url"
        )
    if url.scheme == "http" and not options.allow_private:
        raise BadRequest(
            "`url` sends prompts unencrypted. Use https, or `allow_private` if the service is your own.",
            param="url",
        )
    return url


def _token(name: str) -> str:
    # Whoever may set policies must not be able to send other variables of the server anywhere.
    if not _TOKEN_ENV.fullmatch(name):
        raise BadRequest("`token_env` must be a name that begins with LLMOS_WEBHOOK_.", param="token_env")
    token = os.environ.get(name, "")
    if not token or not token.isascii() or not token.isprintable():
        raise BadRequest(
            f"The environment variable {name} of the server has no token. Set it and restart the server.",
            param="token_env",
        )
    return token
