"""What a model thinks before it answers, set apart where its chat template says how that is marked."""

from dataclasses import dataclass
from typing import Literal

_SPACE = " \t\n\r"


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    opening: str
    closing: str

    def are_open_in(self, prompt_end: str) -> bool:
        """Has the prompt, which ends like this, opened the reasoning that the answer goes on with?"""
        return prompt_end.rstrip(_SPACE).endswith(self.opening)


_KNOWN = (ReasoningTags("<think>", "</think>"), ReasoningTags("[THINK]", "[/THINK]"))


def detect_reasoning(template: str) -> ReasoningTags | None:
    """Return the tags that the chat template knows. None: its model does not think aloud."""
    return next((tags for tags in _KNOWN if tags.opening in template and tags.closing in template), None)


class ReasoningSplitter:
    """Takes an answer's text in any pieces, and tells which of it is reasoning and which is the answer.

        [space] opening [lines] reasoning [lines] closing [lines] answer

    Reasoning stands at the beginning or nowhere; the line breaks around it belong to neither. Without a closing tag all
    is reasoning.
    """

    def __init__(self, tags: ReasoningTags, *, is_open: bool) -> None:
        """`is_open`: the prompt ends with the opening tag."""
        self._tags = tags
        self._mode: Literal["before", "skip", "inside", "behind", "answer"] = "skip" if is_open else "before"
        self._held = ""

    def push(self, text: str) -> tuple[str, str]:
        """Return what the text adds to the reasoning and to the answer."""
        self._held += text
        reasoning = ""
        if self._mode == "before":
            rest = self._held.lstrip(_SPACE)
            if rest.startswith(self._tags.opening):
                self._held, self._mode = rest[len(self._tags.opening) :], "skip"
            elif not self._tags.opening.startswith(rest):
                self._mode = "answer"
        if self._mode == "skip":
            self._held = self._held.lstrip("\n")
            self._mode = "inside" if self._held else "skip"
        if self._mode == "inside":
            before, closing, after = self._held.partition(self._tags.closing)
            if closing:
                reasoning, self._held, self._mode = before.rstrip("\n"), after, "behind"
            else:
                num_free = len(before) - _num_held(before, self._tags.closing)
                reasoning, self._held = before[:num_free], before[num_free:]
        if self._mode == "behind":
            self._held = self._held.lstrip("\n")
            self._mode = "answer" if self._held else "behind"
        if self._mode == "answer":
            answer, self._held = self._held, ""
            return reasoning, answer
        return reasoning, ""

    def finish(self) -> tuple[str, str]:
        """The text ends here: return what was held back."""
        text, self._held = self._held, ""
        return ("", text) if self._mode == "before" else (text.rstrip("\n"), "")


def _num_held(text: str, closing: str) -> int:
    """Return the length of the end of `text` that may be line breaks and the beginning of `closing`."""
    longest = min(len(text), len(closing) - 1)
    num_shared = next((n for n in range(longest, 0, -1) if text.endswith(closing[:n])), 0)
    before = text[: len(text) - num_shared]
    return num_shared + len(before) - len(before.rstrip("\n"))
