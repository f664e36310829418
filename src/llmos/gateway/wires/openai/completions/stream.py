"""Rendering of an answer as a text completion, complete or streamed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial

import msgspec

from llmos.engine.messages import TokenLogprob
from llmos.gateway.calls.answer import Answer, CompleteChoice
from llmos.gateway.http import sse
from llmos.gateway.http.answers import usage
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.answers import render_prompt_logprobs
from llmos.gateway.wires.openai.completions.answers import Completion, CompletionChoice, CompletionLogprobs
from llmos.gateway.wires.openai.completions.logprobs import ChoiceLogprobs, joined
from llmos.gateway.wires.openai.stream import EventFrame


class CompletionRenderer(AnswerRenderer):
    """Renders an answer as text_completion, complete or as events."""

    def __init__(
        self,
        *,
        num_logprobs: int | None,
        echoes_logprobs: bool,
        num_prompt_logprobs: int | None,
        wants_usage_event: bool,
    ) -> None:
        """`num_logprobs`, `num_prompt_logprobs`: the most likely tokens to show at each position; None: no logprobs.
        `echoes_logprobs`: those of an answer begin with those of its prompt."""
        self._num_logprobs = num_logprobs
        self._echoes_logprobs = echoes_logprobs
        self._num_prompt_logprobs = num_prompt_logprobs
        self._wants_usage_event = wants_usage_event

    async def complete(self, answer: Answer) -> bytes:
        choices = await answer.read_choices()
        if answer.call.prompt_logprobs is None:
            return self._render(answer, choices)
        return await asyncio.to_thread(self._render, answer, choices)  # A long prompt has very many entries.

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        # Encoded by hand: only the index, the text and the logprobs change from one event to the next.
        frame = EventFrame(answer, "text_completion", wants_usage_event=self._wants_usage_event)
        opening, closing = frame.opening, frame.closing
        choices = [ChoiceLogprobs() for _ in range(answer.call.num_choices)]
        async for delta in answer.deltas:
            if not (delta.text or delta.logprobs or delta.finish_reason):
                continue  # A token that completes no character adds nothing.
            choice = choices[delta.index]
            begins = self._echoes_logprobs and not choice.has_prompt
            render = partial(self._logprobs, answer, delta.index, choice, delta.text, delta.logprobs)
            logprobs = await asyncio.to_thread(render) if begins else render()
            reason = b'"%b"' % delta.finish_reason.encode() if delta.finish_reason else b"null"
            yield b'%b{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b}%b' % (
                opening,
                delta.index,
                sse.encode(delta.text),
                sse.encode(logprobs) if logprobs is not None and logprobs.tokens else b"null",
                reason,
                closing if delta.finish_reason is None else frame.closing_with(answer.warnings_of.get(delta.index, ())),
            )
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _render(self, answer: Answer, choices: Sequence[CompleteChoice]) -> bytes:
        rendered = [
            CompletionChoice(
                i,
                choice.text,
                self._logprobs(answer, i, ChoiceLogprobs(), choice.text, choice.logprobs),
                choice.finish_reason,
                render_prompt_logprobs(answer, i, self._num_prompt_logprobs),
            )
            for i, choice in enumerate(choices)
        ]
        return sse.encode(
            Completion(
                id=answer.id,
                created=answer.created,
                model=answer.served.ref,
                system_fingerprint=answer.fingerprint,
                choices=rendered,
                usage=usage(answer),
                warnings=answer.warnings or msgspec.UNSET,
            )
        )

    def _logprobs(
        self, answer: Answer, index: int, choice: ChoiceLogprobs, text: str, tokens: Sequence[TokenLogprob]
    ) -> CompletionLogprobs | None:
        """Return the log probabilities of the next tokens of a choice. Those of an echoed prompt come first, with the
        first text. None: they aren't asked for."""
        if self._num_logprobs is None:
            return None
        if not self._echoes_logprobs or choice.has_prompt:
            return choice.render(tokens)
        prompt = choice.render_prompt(answer.prompt_scores(index), text, self._num_logprobs)
        return joined(prompt, choice.render(tokens))
