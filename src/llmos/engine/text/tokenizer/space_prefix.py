"""The space that a SentencePiece tokenizer puts before a text, and how to do without it in the middle of one.

`tokenizers` knows it as Metaspace's prepend_scheme ("first": before the text; "always": after each control token, too)
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
        """Text that follows a control token gets no such space."""
        self._is_none = schemes <= {"never"}

    @cached_property
    def without(self) -> tokenizers.Tokenizer:
        """The same tokenizer, made to add nothing. Built when it is first needed: it takes a tenth of a second."""
        if self._is_none:
            return self._backend
        state = json.loads(self._backend.to_str())
        state["pre_tokenizer"] = _strip(state["pre_tokenizer"])
        state["normalizer"] = _strip(state["normalizer"])
        return tokenizers.Tokenizer.from_str(json.dumps(state))


def _scheme(step: dict[str, Any]) -> str:
    if step["type"] == "Metaspace":
        return str(step.get("prepend_scheme", "always"))
    return "always" if step["type"] == "Prepend" else "never"


def _steps(component: Any) -> Iterator[dict[str, Any]]:
    if component is not None:
        yield from _flat(json.loads(component.__getstate__()))


def _flat(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("pretokenizers", "normalizers"):
        for step in state.get(key, ()):
            yield from _flat(step)
    yield state


def _strip(state: dict[str, Any] | None) -> dict[str, Any] | None:
    if state is None or state["type"] == "Prepend":
        return None
    for key in ("pretokenizers", "normalizers"):
        if key in state:
            state = {**state, key: [step for step in map(_strip, state[key]) if step is not None]}
    return {**state, "prepend_scheme": "never"} if state["type"] == "Metaspace" else state
