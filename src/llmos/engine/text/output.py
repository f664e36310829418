"""Tokens of one choice to what its caller is told: text, logprobs, and why it ended."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from llmos.engine.messages import Delta, FinishReason, SamplingParams, TokenLogprob, ToolCallDelta
from llmos.engine.text.stopping import StopStrings

if TYPE_CHECKING:
    from llmos.engine.text.chat import AnswerParser
    from llmos.engine.text.tokenizer import Tokenizer


class OutputProcessor:
    """Takes a choice's tokens one by one and tells what each adds.

    The joined texts are the answer, and what a parser takes out of it is told beside; joined token_ids and logprobs are
    all of its tokens. None of the three gives away a stop string, or what may yet become one: a token is told when all
    of its text is.
    """

    def __init__(
        self,
        request_id: str,
        index: int,
        params: SamplingParams,
        *,
        max_tokens: int,
        stop_ids: frozenset[int],
        tokenizer: "Tokenizer",
        echo: str = "",
        continues_prompt: bool = False,
        parser: "AnswerParser | None" = None,
        visible_control: Collection[str] = (),
    ) -> None:
        """`continues_prompt`: the text continues the prompt's text, so a space before its first word is kept. `parser`
        takes tool calls and reasoning out of the text; of the control tokens it sees only `visible_control`."""
        self.request_id = request_id
        self.index = index
        self.num_tokens = 0
        """Tokens computed, the stop token included."""
        self.finish_reason: FinishReason | None = None
        self.num_cached_tokens = 0
        """Of the prompt; told once, with the next delta."""
        self.wants_logprobs = params.logprobs is not None
        self._max_tokens = max_tokens
        self._min_tokens = params.min_tokens
        self._stop_ids = stop_ids
        self._include_stop = params.include_stop
        self._tokenizer = tokenizer
        self._detokenizer = tokenizer.detokenizer(continues_prompt=continues_prompt, visible_control=visible_control)
        self._parser = parser
        self._echo = echo
        self._hold = _Hold(params.stop) if params.stop else None

    @property
    def num_tokens_left(self) -> int:
        """Tokens that it may still take."""
        return self._max_tokens - self.num_tokens

    def is_stop_token(self, token: int) -> bool:
        return token in self._stop_ids

    def push(self, token: int, logprob: TokenLogprob | None = None, *, is_complete: bool = False) -> Delta | None:
        """Take the next token. Return what there is to tell, None where all of it is held back.

        `is_complete`: with it the answer is all that it may be, and ends as it does at a stop token.
        Sets finish_reason with the last one; nothing may be pushed after it.
        """
        self.num_tokens += 1
        if token in self._stop_ids:
            return self._end_at_token(token, logprob)
        text = self._detokenizer.push(token)
        if is_complete:
            self.finish_reason = "stop"
        elif self.num_tokens >= self._max_tokens:
            self.finish_reason = "length"
        if self._hold is None:
            if self.finish_reason:
                text += self._detokenizer.finish()
            return self._delta(text, [token], [logprob] if logprob else [])
        return self._push_held(self._hold, token, logprob, text)

    def _push_held(self, hold: "_Hold", token: int, logprob: TokenLogprob | None, text: str) -> Delta | None:
        # A stop string is looked for in what comes from the min_tokens-th token on.
        if self.num_tokens < self._min_tokens:
            hold.bypass(token, logprob, text)
        else:
            hold.push(token, logprob, text)
        stop = hold.stop
        if stop is None and self.finish_reason:
            hold.push_tail(self._detokenizer.finish())
            stop = hold.stop
            if stop is None:
                hold.flush()
        if stop is not None:
            self.finish_reason = "stop"
            hold.cut(include_stop=self._include_stop)
        text, tokens, logprobs = hold.take()
        if not (text or tokens or self.finish_reason):
            return None
        return self._delta(text, tokens, logprobs, stop)

    def _end_at_token(self, token: int, logprob: TokenLogprob | None) -> Delta:
        """The text before a stop token ends as at any other end; the token itself is told only if asked for."""
        self.finish_reason = "stop"
        text = self._detokenizer.finish()
        tokens: list[int] = []
        logprobs: list[TokenLogprob] = []
        stop: str | None = None
        if self._hold is not None:
            self._hold.push_tail(text)
            stop = self._hold.stop
            if stop is None:
                self._hold.flush()
            else:
                self._hold.cut(include_stop=self._include_stop)
            text, tokens, logprobs = self._hold.take()
        if stop is None and self._include_stop:
            text += self._tokenizer.token_text(token)
            tokens.append(token)
            if logprob:
                logprobs.append(logprob)
        return self._delta(text, tokens, logprobs, token if stop is None else stop)

    def _delta(
        self, text: str, tokens: list[int], logprobs: list[TokenLogprob], stop_reason: str | int | None = None
    ) -> Delta:
        reasoning, tool_calls = "", tuple[ToolCallDelta, ...]()
        if self._parser is not None:
            said = self._parser.push(text, is_last=self.finish_reason is not None)
            text, reasoning, tool_calls = said.text, said.reasoning, said.tool_calls
            if self.finish_reason == "stop" and self._parser.has_tool_calls:
                self.finish_reason = "tool_calls"
        if self._echo:
            text, self._echo = self._echo + text, ""
        num_cached_tokens, self.num_cached_tokens = self.num_cached_tokens, 0
        return Delta(
            id=self.request_id,
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
        )


def merge_deltas(deltas: list[Delta]) -> Delta:
    """Return one delta that tells what these tell one after another."""
    if len(deltas) == 1:
        return deltas[0]
    return msgspec.structs.replace(
        deltas[-1],
        text="".join([delta.text for delta in deltas]),
        reasoning="".join([delta.reasoning for delta in deltas]),
        tool_calls=[call for delta in deltas for call in delta.tool_calls],
        token_ids=[token for delta in deltas for token in delta.token_ids],
        logprobs=[entry for delta in deltas for entry in delta.logprobs],
        num_cached_tokens=deltas[0].num_cached_tokens,
    )


class _Hold:
    """Text and tokens that wait until it is sure that they are not part of a stop string.

    Offsets count the characters of the answer. A token's text is [start, end); a token that only begins a character
    has no text of its own yet, and goes with the character.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = StopStrings(stops)
        self.stop: str | None = None
        """The stop string, once it is complete."""
        self._length = 0
        """Of all text that was pushed."""
        self._num_freed = 0
        """Of that, the part that is sure."""
        self._text = ""
        """Freed, and not taken yet."""
        self._tokens: list[tuple[int, int, int, TokenLogprob | None]] = []

    def push(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        self._note(token, logprob, text)
        self.push_tail(text)

    def bypass(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        """Free the text without looking at it."""
        self._note(token, logprob, text)
        self._free(text)

    def push_tail(self, text: str) -> None:
        """Add text that no further token brings."""
        text, self.stop = self._stops.push(text)
        self._free(text)

    def flush(self) -> None:
        """The text ends here: everything is free."""
        self._free(self._stops.flush())
        self._num_freed += 1  # tokens that begin a character which never came

    def cut(self, *, include_stop: bool) -> None:
        """The text ends before the stop string, or behind it. Drop the rest, of the last token perhaps a part."""
        assert self.stop is not None
        if include_stop:
            self._free(self.stop)
        kept = []
        for start, end, token, logprob in self._tokens:
            if start >= self._num_freed:
                break
            if end > self._num_freed and logprob is not None:
                logprob = _shorten(logprob, self._num_freed - start)
            kept.append((start, min(end, self._num_freed), token, logprob))
        self._tokens = kept

    def take(self) -> tuple[str, list[int], list[TokenLogprob]]:
        """Return what is free and was not taken yet."""
        text, self._text = self._text, ""
        count = 0
        for _, end, _, _ in self._tokens:
            if end > self._num_freed:
                break
            count += 1
        taken, self._tokens = self._tokens[:count], self._tokens[count:]
        return text, [token for _, _, token, _ in taken], [entry for _, _, _, entry in taken if entry is not None]

    def _note(self, token: int, logprob: TokenLogprob | None, text: str) -> None:
        start = self._length
        self._length += len(text)
        self._tokens.append((start, self._length if text else start + 1, token, logprob))

    def _free(self, text: str) -> None:
        self._text += text
        self._num_freed += len(text)


def _shorten(entry: TokenLogprob, length: int) -> TokenLogprob:
    """Return the entry with only the first `length` characters of its text, also where it is among the likeliest."""
    text = entry.text[:length]
    data = text.encode()
    top = [(i, text, data, value) if i == entry.token_id else (i, t, d, value) for i, t, d, value in entry.top]
    return TokenLogprob(entry.token_id, text, data, entry.logprob, top)
