"""Reasoning before the answer, for models whose chat template marks it with tags."""

from dataclasses import dataclass
from typing import Literal

from llmos.engine.text.partial_match import partial_match

_SPACE = " \t\n\r"


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The strings around reasoning. Each may be a control token."""

    opening: str
    closing: str
    label: str = ""
    """Ordinary text that follows the opening tag: its kind of channel (Gemma 4)."""

    @property
    def beginning(self) -> str:
        """The text before the reasoning."""
        return self.opening + self.label

    def are_open_in(self, prompt_tail: str) -> bool:
        """Return whether a prompt with this end has opened the reasoning, so that the answer continues it."""
        return prompt_tail.rstrip(_SPACE).endswith(self.beginning)


_KNOWN = (
    ReasoningTags("<think>", "</think>"),
    ReasoningTags("[THINK]", "[/THINK]"),
    ReasoningTags("<|channel>", "<channel|>", "thought"),
)


def detect_reasoning(template: str) -> ReasoningTags | None:
    """Return the reasoning tags in a chat template, None if it has none that we know."""
    return next((tags for tags in _KNOWN if tags.beginning in template and tags.closing in template), None)


class ReasoningSplitter:
    """Splits an answer's text, which may come in pieces of any length, into reasoning and answer.

        [space] opening [newlines] reasoning [newlines] closing [newlines] answer

    Reasoning comes first or not at all. The newlines around it belong to neither part. Without a closing tag,
    everything is reasoning.
    """

    def __init__(self, tags: ReasoningTags, *, is_open: bool) -> None:
        """`is_open`: the prompt ends with the opening tag."""
        self._tags = tags
        self._state: Literal["start", "after opening", "reasoning", "after closing", "answer"] = (
            "after opening" if is_open else "start"
        )
        self._held = ""

    def push(self, text: str) -> tuple[str, str]:
        """Add text. Return what it adds to the reasoning and to the answer."""
        self._held += text
        reasoning = ""
        if self._state == "start":
            rest = self._held.lstrip(_SPACE)
            if rest.startswith(self._tags.beginning):
                self._held, self._state = rest[len(self._tags.beginning) :], "after opening"
            elif not self._tags.beginning.startswith(rest):
                self._state = "answer"
        if self._state == "after opening":
            self._held = self._held.lstrip("\n")
            self._state = "reasoning" if self._held else "after opening"
        if self._state == "reasoning":
            before, closing, after = self._held.partition(self._tags.closing)
            if closing:
                reasoning, self._held, self._state = before.rstrip("\n"), after, "after closing"
            else:
                num_certain = len(before) - _num_held(before, self._tags.closing)
                reasoning, self._held = before[:num_certain], before[num_certain:]
        if self._state == "after closing":
            self._held = self._held.lstrip("\n")
            self._state = "answer" if self._held else "after closing"
        if self._state == "answer":
            answer, self._held = self._held, ""
            return reasoning, answer
        return reasoning, ""

    def finish(self) -> tuple[str, str]:
        """End the text. Return what was held back of the reasoning and of the answer."""
        text, self._held = self._held, ""
        return ("", text) if self._state == "start" else (text.rstrip("\n"), "")


def _num_held(text: str, closing: str) -> int:
    """Return the length of the end of `text` that may be newlines and the beginning of `closing`."""
    num_shared = partial_match(text, closing)
    before = text[: len(text) - num_shared]
    return num_shared + len(before) - len(before.rstrip("\n"))
