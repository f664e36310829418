"""Decides which tokens are control tokens, by the same rules for all file formats.

Control tokens are those that the file marks as such, those that end an answer, and the texts that end answers in every
family, whatever their type in the file. Published files have such tokens as ordinary or user-defined ones.

Besides, a chat template may write tokens that the file doesn't mark, such as the roles of a turn. They have text of
their own in answers ("<think>"), but in a chat only the template may write them.
"""

import re
from collections.abc import Collection, Iterable

_END_TEXTS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>",
    "<end_of_turn>", "<turn|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>", "<|return|>", "<|call|>", "[EOT]",
    "[EOS]", "< EOT >", "_<EOT>", "<|tool_response>",
)  # fmt: skip
"""Many files name one end token of several that the model was trained on. These end an answer in every family."""

_HARMONY = {"<|return|>", "<|call|>", "<|end|>"}
"""The tokens of gpt-oss: where all of them exist, <|end|> ends a part of an answer."""

_MARKER = re.compile(r"<[^\s<>]+>|\[/?[A-Z][A-Z_]*\]")
"""The text of a token that a file adds to its vocabulary, if it may be a marker. Other added tokens are runs of spaces
and the like, which templates write as ordinary text."""

_CERTAIN_MARKER = re.compile(r"<[|｜][^\s<>]+[|｜]>|<(?:start|end)_of_turn>")
"""The text of a marker that isn't an ordinary word of any vocabulary."""

_ROLES = ("assistant", "developer", "function", "ipython", "model", "observation", "system", "tool", "user")


def end_texts(vocabulary: Collection[str]) -> list[str]:
    """Return the texts in the vocabulary (a set, or a mapping to ids) that end an answer in every family."""
    has_harmony = all(text in vocabulary for text in _HARMONY)
    return [text for text in _END_TEXTS if text in vocabulary and not (has_harmony and text == "<|end|>")]


def written_by_template(added: Iterable[str], ordinary: Iterable[str], template: str | None) -> list[str]:
    """Return the texts of tokens that the chat template writes, of those that may be markers.

    `added`: tokens that the file adds to its vocabulary. `ordinary`: other tokens.
    """
    if not template:
        return []
    markers = [text for text in added if _MARKER.fullmatch(text)]
    markers += [text for text in ordinary if text.startswith("<") and _CERTAIN_MARKER.fullmatch(text)]
    return [text for text in markers if _writes(template, text)]


def _writes(template: str, text: str) -> bool:
    """Return whether a template's source has the text, perhaps put together: '<|' + message.role + '|>'."""
    if text in template:
        return True
    for role in _ROLES:
        before, found, behind = text.partition(role)
        if found and before and behind and before in template and behind in template:
            return True
    return False
