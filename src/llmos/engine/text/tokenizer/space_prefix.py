"""The space that a SentencePiece tokenizer puts before a text, and how to encode without it inside a text.

`tokenizers` has it as Metaspace's prepend_scheme ("first": before the text; "always": also after each control token)
and, in older files, as a normalizer named Prepend.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import tokenizers


class SpacePrefix:
    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        steps = [*_steps(backend.pre_tokenizer), *_steps(backend.normalizer)]
        schemes = {_scheme(step) for step in steps}
        self.is_only_first: bool = "first" in schemes
        """Only the first text of a prompt gets the space, not text after a control token."""
        self._is_absent = schemes <= {"never"}

    @cached_property
    def without(self) -> tokenizers.Tokenizer:
        """The same tokenizer without the space. Building it takes a tenth of a second."""
        if self._is_absent:
            return self._backend
        state = json.loads(self._backend.to_str())
        state["pre_tokenizer"] = _without_prefix(state["pre_tokenizer"])
        state["normalizer"] = _without_prefix(state["normalizer"])
        return tokenizers.Tokenizer.from_str(json.dumps(state))


def _scheme(step: dict[str, Any]) -> str:
    if step["type"] == "Metaspace":
        return str(step.get("prepend_scheme", "always"))
    return "always" if step["type"] == "Prepend" else "never"


def _steps(component: Any) -> Iterator[dict[str, Any]]:
    if component is not None:
        yield from _flatten(json.loads(component.__getstate__()))


def _flatten(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("pretokenizers", "normalizers"):
        for step in state.get(key, ()):
            yield from _flatten(step)
    yield state


def _without_prefix(state: dict[str, Any] | None) -> dict[str, Any] | None:
    if state is None or state["type"] == "Prepend":
        return None
    for key in ("pretokenizers", "normalizers"):
        if key in state:
            state = {**state, key: [step for step in map(_without_prefix, state[key]) if step is not None]}
    return {**state, "prepend_scheme": "never"} if state["type"] == "Metaspace" else state
