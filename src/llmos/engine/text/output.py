"""Turns the tokens of one choice into deltas: text, tool calls, logprobs, and why it ended."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.engine.messages import Delta, FinishReason, SamplingParams, TokenLogprob, ToolCallDelta
from llmos.engine.text.stopping import StopStrings

if TYPE_CHECKING:
    from llmos.engine.text.chat import AnswerParser
    from llmos.engine.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputSettings:
    """The settings that all choices of a request share."""

    request_id: str
    params: SamplingParams
    max_tokens: int
    stop_ids: frozenset[int]
    tokenizer: "Tokenizer"
    echo: str = ""
    """Text to put before the answer."""
    continues_prompt: bool = False
    """The answer continues the prompt's text, so a space before its first word is kept."""
    visible_control: Collection[str] = ()
    """Control tokens that the parser sees as text. All others have no text."""
    shows_stop_token: bool = False
    """Release a stop token that ends the answer, without its text. Otherwise only include_stop does, with it."""


class OutputProcessor:
    """Processes the tokens of one choice, one by one.

    The joined texts are the answer, without the tool calls and reasoning that a parser takes out of it; the joined
    token_ids and logprobs are all of its tokens. None of them reveals a stop string, or text that may become one:
    a token is released when all of its text is.
    """

    def __init__(self, settings: OutputSettings, index: int = 0, *, parser: "AnswerParser | None" = None) -> None:
        """`index`: of the choice. `parser`: takes tool calls and reasoning out of the text."""
        self.index = index
        self.num_tokens = 0
        """Tokens so far, including a stop token."""
        self.finish_reason: FinishReason | None = None
        self.num_cached_tokens = 0
        """Cached tokens of the prompt, to report in the next delta."""
        self.queued_micros = 0
        """The time that the request has waited, to report in the next delta."""
        params = settings.params
        self.wants_logprobs = params.logprobs is not None
        self._request_id = settings.request_id
        self._max_tokens = settings.max_tokens
        self._min_tokens = params.min_tokens
        self._stop_ids = settings.stop_ids
        self._include_stop = params.include_stop
        self._shows_stop_token = settings.shows_stop_token
        self._tokenizer = settings.tokenizer
        self._detokenizer = settings.tokenizer.detokenizer(
            continues_prompt=settings.continues_prompt, visible_control=settings.visible_control
        )
        self._parser = parser
        self._echo = settings.echo
        self._buffer = _StopBuffer(params.stop) if params.stop else None

    @property
    def num_tokens_left(self) -> int:
        """The number of tokens that may still be pushed."""
        return self._max_tokens - self.num_tokens

    def is_stop_token(self, token: int) -> bool:
        return token in self._stop_ids

    def push(self, token: int, logprob: TokenLogprob | None = None, *, is_complete: bool = False) -> Delta | None:
        """Add the next token. Return what it releases, None if all of it is held back.

        `is_complete`: the answer is complete with this token, as at a stop token. With the last token finish_reason is
        set; push no more tokens after it.
        """
        self.num_tokens += 1
        if token in self._stop_ids:
            return self._finish_at_stop_token(token, logprob)
        text = self._detokenizer.push(token)
        if is_complete:
            self.finish_reason = "stop"
        elif self.num_tokens >= self._max_tokens:
            self.finish_reason = "length"
        if self._buffer is None:
            if self.finish_reason:
                text += self._detokenizer.finish()
            return self._delta(text, [token], [logprob] if logprob else [])
        return self._push_buffered(self._buffer, token, logprob, text)

    def _push_buffered(
        self, buffer: "_StopBuffer", token: int, logprob: TokenLogprob | None, text: str
    ) -> Delta | None:
        # Stop strings are searched for from the min_tokens-th token on, and not in calls.
        if self.num_tokens < self._min_tokens:
            buffer.bypass(token, logprob, text)
        else:
            buffer.push(token, logprob, text)
            while buffer.stop is not None and self._parser and self._parser.calls_with(buffer.text, buffer.stop):
                buffer.go_on()
        stop = buffer.stop
        if stop is None and self.finish_reason:
            buffer.push_tail(self._detokenizer.finish())
            stop = buffer.stop
            if stop is None:
                buffer.flush()
        if stop is not None:
            self.finish_reason = "stop"
            buffer.cut(include_stop=self._include_stop)
        text, tokens, logprobs = buffer.take()
        if not (text or tokens or self.finish_reason):
            return None
        return self._delta(text, tokens, logprobs, stop)

    def _finish_at_stop_token(self, token: int, logprob: TokenLogprob | None) -> Delta:
        """Release the rest of the text, and the stop token itself only if that is asked for."""
        self.finish_reason = "stop"
        text = self._detokenizer.finish()
        tokens: list[int] = []
        logprobs: list[TokenLogprob] = []
        stop: str | None = None
        if self._buffer is not None:
            self._buffer.push_tail(text)
            stop = self._buffer.stop
            if stop is None:
                self._buffer.flush()
            else:
                self._buffer.cut(include_stop=self._include_stop)
            text, tokens, logprobs = self._buffer.take()
        if stop is None and self._include_stop:
            text += self._tokenizer.token_text(token)
        if stop is None and (self._include_stop or self._shows_stop_token):
            tokens.append(token)
            if logprob:
                logprobs.append(logprob)
        return self._delta(text, tokens, logprobs, token if stop is None else stop)

    def _delta(
        self, text: str, tokens: list[int], logprobs: list[TokenLogprob], stop_reason: str | int | None = None
    ) -> Delta:
        reasoning, tool_calls = "", tuple[ToolCallDelta, ...]()
        if self._parser is not None:
            is_cut = self.finish_reason == "length" or isinstance(stop_reason, str)
            parsed = self._parser.push(text, is_last=self.finish_reason is not None, is_cut=is_cut)
            text, reasoning, tool_calls = parsed.text, parsed.reasoning, parsed.tool_calls
            if self.finish_reason == "stop" and self._parser.has_tool_calls:
                self.finish_reason = "tool_calls"
            elif self.finish_reason == "stop" and self._parser.has_half_call:
                self.finish_reason = "length"  # Whoever runs the calls must know that this one is not whole.
        if self._echo:
            text, self._echo = self._echo + text, ""
        num_cached_tokens, self.num_cached_tokens = self.num_cached_tokens, 0
        queued_micros, self.queued_micros = self.queued_micros, 0
        return Delta(
            id=self._request_id,
            index=self.index,
            text=text,
            reasoning=reasoning,
            tool_calls=[*tool_calls],
            token_ids=tokens,
            logprobs=logprobs,
            finish_reason=self.finish_reason,
            stop_reason=stop_reason,
            num_output_tokens=self.num_tokens,
            num_cached_tokens=num_cached_tokens,
            queued_micros=queued_micros,
        )


class _StopBuffer:
    """Text and tokens that are held back until they cannot be part of a stop string.

    Offsets count the characters of the answer. A token's text is [start, end). A token that only begins a character
    has no text of its own yet; it is released with the character.
    """

    def __init__(self, stops: list[str]) -> None:
        self._strings = stops
        self._stops = StopStrings(stops)
        self.stop: str | None = None
        """The stop string, once it is complete."""
        self._length = 0
        """Characters pushed."""
        self._num_released = 0
        """Characters released."""
        self._text = ""
        """Text that is released and not taken yet."""
        self._tokens: list[tuple[int, int, int, TokenLogprob | None]] = []
        """Tokens not taken yet: start, end, token, logprob."""

    def push(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        self._append(token, logprob, text)
        self.push_tail(text)

    def bypass(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        """Release the text without searching it for stop strings."""
        self._append(token, logprob, text)
        self._release(text)

    @property
    def text(self) -> str:
        """The text that is released and not taken yet."""
        return self._text

    def go_on(self) -> None:
        """Take the stop string for text like any other, and search on behind it."""
        assert self.stop is not None
        rest = self._stops.rest
        self._release(self.stop)
        self._stops = StopStrings(self._strings)
        self.push_tail(rest)

    def push_tail(self, text: str) -> None:
        """Add text that belongs to tokens pushed before."""
        text, self.stop = self._stops.push(text)
        self._release(text)

    def flush(self) -> None:
        """Release everything: the answer ends here."""
        self._release(self._stops.flush())
        self._num_released += 1  # also release tokens that began a character which never ended

    def cut(self, *, include_stop: bool) -> None:
        """End the text before the stop string, or after it. The last token may lose a part of its text."""
        assert self.stop is not None
        if include_stop:
            self._release(self.stop)
        kept = []
        for start, end, token, logprob in self._tokens:
            if start >= self._num_released:
                break
            if end > self._num_released and logprob is not None:
                logprob = _shorten(logprob, self._num_released - start)
            kept.append((start, min(end, self._num_released), token, logprob))
        self._tokens = kept

    def take(self) -> tuple[str, list[int], list[TokenLogprob]]:
        """Return the text, tokens and logprobs that were released since the last call."""
        text, self._text = self._text, ""
        count = 0
        for _, end, _, _ in self._tokens:
            if end > self._num_released:
                break
            count += 1
        taken, self._tokens = self._tokens[:count], self._tokens[count:]
        return text, [token for _, _, token, _ in taken], [entry for _, _, _, entry in taken if entry is not None]

    def _append(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        start = self._length
        self._length += len(text)
        self._tokens.append((start, self._length if text else start + 1, token, logprob))

    def _release(self, text: str) -> None:
        self._text += text
        self._num_released += len(text)


def _shorten(entry: TokenLogprob, length: int) -> TokenLogprob:
    """Return the entry with only the first `length` characters of its text, also in its list of likely tokens."""
    text = entry.text[:length]
    data = text.encode()
    top = [(i, text, data, value) if i == entry.token_id else (i, t, d, value) for i, t, d, value in entry.top]
    return TokenLogprob(entry.token_id, text, data, entry.logprob, top)
