"""Cases: prompts with expected answers, by which a rollout scores a version before it gets calls.

{"prompt": "What is the capital of France?", "contains": "Paris"}
{"prompt": "2 + 2 =", "matches": "\\\\b4\\\\b", "max_tokens": 8}
{"messages": [{"role": "user", "content": "Say yes."}], "equals": "Yes."}
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from llmos.core.errors import BadRequest

MAX_CASES = 500

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: Text


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    prompt: Text | None = None
    """A user message. Give either this or `messages`."""
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=100)] | None = None
    contains: Text | None = None
    """The answer contains this, whatever the case of letters. Give one of this, `equals` and `matches`."""
    equals: str | None = None
    """The answer is this, apart from whitespace around it."""
    matches: Text | None = None
    """The answer contains a match of this regular expression."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=2048)] = 64

    def is_right(self, answer: str) -> bool:
        if self.contains is not None:
            return self.contains.casefold() in answer.casefold()
        if self.matches is not None:
            return re.search(self.matches, answer) is not None
        return answer.strip() == (self.equals or "").strip()


def read_cases(cases: Sequence[Mapping[str, Any]]) -> tuple[Case, ...]:
    """Return the cases. Raises BadRequest that names the first malformed one."""
    if len(cases) > MAX_CASES:
        raise BadRequest(f"There are {len(cases)} cases; a rollout takes at most {MAX_CASES}.", param="cases")
    return tuple(_case(number, case) for number, case in enumerate(cases, start=1))


def read_case_lines(text: str) -> list[dict[str, Any]]:
    """Return the cases of a file with one JSON object per line. Raises BadRequest that names the line."""
    cases = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                cases.append(json.loads(line))
            except ValueError as error:
                raise BadRequest(f"Line {number} of the cases is not a JSON object: {error}.", param="cases") from None
    if not cases:
        raise BadRequest("The file has no cases; write one JSON object per line.", param="cases")
    read_cases(cases)
    return cases


def cases_as_json(cases: Sequence[Case]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(case) for case in cases]


def _case(number: int, fields: Mapping[str, Any]) -> Case:
    try:
        case = msgspec.convert(fields, Case)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Case {number} is malformed: {error}.", param="cases") from None
    try:
        msgspec.json.encode(case)
    except UnicodeEncodeError:
        raise BadRequest(
            f"Case {number} holds half of a surrogate pair, which is not a character.", param="cases"
        ) from None
    if (case.prompt is None) == (case.messages is None):
        raise BadRequest(f"Case {number} needs exactly one of `prompt` and `messages`.", param="cases")
    if sum(each is not None for each in (case.contains, case.equals, case.matches)) != 1:
        raise BadRequest(f"Case {number} needs exactly one of `contains`, `equals` and `matches`.", param="cases")
    if case.matches is not None:
        try:
            re.compile(case.matches)
        except re.error as error:
            raise BadRequest(
                f"The `matches` of case {number} is not a regular expression: {error}.", param="cases"
            ) from None
    return case
