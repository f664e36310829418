"""Requests of cases, and what comes back: any model or application that a server answers for.

It knows the chat API and no transport: an `Asker` sends the requests, on a server or without one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from llmos.core.errors import AppFailed, BadRequest, LLMOSError, NotRecorded
from llmos.core.money import format_nanos
from llmos.core.names import APP_PREFIX
from llmos.evals.answers import Answer, ToolCall
from llmos.evals.checks import Finding, Subject
from llmos.evals.checks.check import AnswerFailed, Unchecked
from llmos.evals.suite_reading import filled
from llmos.evals.suites import Case, Judge, Suite

_CHAT = "/v1/chat/completions"
_JUDGE_TOKENS = 300
_VERDICT = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 400}, "passes": {"type": "boolean"}},
    "required": ["reason", "passes"],
    "additionalProperties": False,
}
_JUDGE = "You check answers of an assistant. Say in one sentence why an answer passes or doesn't, then whether it does."


def check_model(suite: Suite, model: str) -> None:
    """Raise BadRequest for a model of which a check demands what only applications do, so that it never holds."""
    if model.startswith(APP_PREFIX):
        return
    for case in suite.cases:
        for check in case.checks:
            demands = check.kind.name == "cites" and check.value is not False
            if (demands or (check.kind.name == "abstains" and check.value)) and not check.negated:
                raise BadRequest(
                    f"The case {case.id!r} demands `{check.name}`, which only an application does, and {model} is a"
                    " model. Ask app:NAME instead.",
                    param="models",
                )
            if check.kind.name == "tool_called" and not check.negated and not suite.options.get("tools"):
                raise BadRequest(
                    f"The case {case.id!r} demands a call of {check.value.name}, and the suite gives the model no"
                    " `tools`.",
                    param="suite",
                )


class Asker(Protocol):
    """Sends requests to models. They wait for those of users, and are never answered out of a cache."""

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        """Return the JSON of the answer. Raises LLMOSError for one that failed.

        `key`: the same for a request that is sent again after a crash; "" for one that may be counted twice.
        """

    async def run_python(self, program: str) -> str:
        """Run a program in a sandbox; see checks.Helpers."""


class Answerer(Protocol):
    """Answers cases: a model, or an application in this process."""

    @property
    def name(self) -> str: ...

    async def answer(self, case: Case, repeat: int) -> Answer:
        """Raises LLMOSError where there is no answer."""

    @property
    def helpers(self) -> Any:
        """The helpers of checks; see checks.Helpers."""


@dataclass(frozen=True, slots=True)
class ModelAnswerer:
    """Asks a model, a route or an application (app:NAME) by its name."""

    name: str
    suite: Suite
    asker: Asker
    num_repeats: int = 1

    @property
    def helpers(self) -> "ModelAnswerer":
        return self

    async def answer(self, case: Case, repeat: int) -> Answer:
        began, key = time.perf_counter(), f"{self.name}/{case.id}/{repeat}"
        if case.replays:
            return await self._replayed(case, key)
        if self.name.startswith(APP_PREFIX):
            return await self._ran(case, key)
        if case.mocks:
            raise BadRequest(f"The case {case.id!r} has mocks of an application's tools, and {self.name} is a model.")
        body = await self.asker.post(_CHAT, self._body(case, repeat), key)
        return read_answer(body, time.perf_counter() - began)

    async def _replayed(self, case: Case, key: str) -> Answer:
        """Return the answer of an application whose tools are answered out of a recorded run."""
        if not self.name.startswith(APP_PREFIX):
            raise BadRequest(f"The case {case.id!r} replays a run of an application, and {self.name} is a model.")
        began, path = time.perf_counter(), self._runs_path()
        is_talk = _is_conversation(case.input)
        body = {
            "input": case.input[-1] if is_talk else case.input,
            "messages": case.input[:-1] if is_talk else [],
            "variables": dict(case.variables),
            "replay": case.replays,
        }
        try:
            result = await self.asker.post(path, body, key)
        except AppFailed as error:
            if isinstance(error, NotRecorded):
                raise
            raise AnswerFailed(str(error)) from None
        return read_run(result, time.perf_counter() - began, self.name)

    async def _ran(self, case: Case, key: str) -> Answer:
        """Return the answer of an application. What has effects happens only where the suite allows it."""
        began = time.perf_counter()
        *before, question = self._messages(case.input, case.variables)
        is_text = isinstance(case.input, str) or _is_conversation(case.input)
        body = {
            "input": question if is_text else case.input,
            "messages": before,
            "metadata": dict(case.variables),
            "mocks": msgspec.to_builtins(case.mocks),
            "effects": self.suite.effects,
        }
        result = await self.asker.post(self._runs_path(), body, key)
        return read_run(result, time.perf_counter() - began, self.name)

    def _runs_path(self) -> str:
        return f"/llmos/v1/apps/{self.name.removeprefix(APP_PREFIX)}/runs"

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        body = await self._helped("/v1/embeddings", {"model": model, "input": list(texts)})
        return [each["embedding"] for each in body["data"]]

    async def likelihood(self, case: Subject, options: Sequence[str]) -> Sequence[float]:
        messages = self._messages(case.input, case.variables)
        request = {
            "model": self._rated_model(),
            "messages": messages,
            "continuations": list(options),
            "normalize": "tokens",
        }
        body = await self._helped("/llmos/v1/likelihood", request)
        return [each["normalized_logprob"] for each in body["options"]]

    def _rated_model(self) -> str:
        """Return the model that says how likely texts are: an application has none of its own to ask."""
        if not self.name.startswith(APP_PREFIX):
            return self.name
        if self.suite.model is None or self.suite.model.startswith(APP_PREFIX):
            raise Unchecked(f"`likelihood` asks a model, and {self.name} is an application. Give the suite a `model`.")
        return self.suite.model

    async def judge(self, name: str, case: Subject) -> Finding:
        judge = self.suite.judges[name]
        text = case.input if isinstance(case.input, str) else msgspec.json.encode(case.input).decode()
        try:
            return await ask_judge(self.asker, judge, text, case.answer.text)
        except LLMOSError as error:
            raise Unchecked(f"The judge {name}: {error}") from None

    async def run_python(self, program: str) -> str:
        return await self.asker.run_python(program)

    async def _helped(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self.asker.post(path, body)
        except LLMOSError as error:
            raise Unchecked(str(error)) from None

    def _body(self, case: Case, repeat: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.name, "messages": self._messages(case.input, case.variables)}
        body |= self.suite.options
        if self.num_repeats == 1:
            body.setdefault("temperature", 0)
        else:  # The model's own temperature; the seed makes the same run give the same answers.
            body["seed"] = self.suite.options.get("seed", 0) + repeat + 1
        return body

    def _messages(self, input: Any, variables: Mapping[str, Any]) -> list[Any]:
        system = self.suite.system
        before = [] if system is None else [{"role": "system", "content": str(filled(system, variables))}]
        if _is_conversation(input):
            return [*before, *input]
        text = input if isinstance(input, str) else msgspec.json.encode(input).decode()
        prompt = filled(self.suite.prompt, {**variables, "input": text})
        return [*before, {"role": "user", "content": prompt if isinstance(prompt, str) else str(prompt)}]


def read_answer(body: Mapping[str, Any], seconds: float) -> Answer:
    """Return what checks look at of a chat completion."""
    message = body["choices"][0]["message"]
    usage = body.get("usage") or {}
    calls = [each["function"] for each in message.get("tool_calls") or []]
    cited = [each["url_citation"]["title"] for each in message.get("annotations") or [] if "url_citation" in each]
    return Answer(
        text=message.get("content") or "",
        version=str(body.get("model", "")),
        tool_calls=[ToolCall(name=each["name"], arguments=_arguments(each.get("arguments"))) for each in calls],
        documents=list(dict.fromkeys(cited)),
        abstained=bool((body.get("run") or {}).get("abstained")),
        num_input_tokens=usage.get("prompt_tokens") or 0,
        num_output_tokens=usage.get("completion_tokens") or 0,
        seconds=seconds,
        cost=str(usage.get("cost") or ""),
        currency=str(usage.get("currency") or ""),
        finish_reason=str(body["choices"][0].get("finish_reason") or ""),
    )


def read_run(result: Mapping[str, Any], seconds: float, name: str) -> Answer:
    """Return what checks look at of a run of an application."""
    usage, steps = result.get("usage") or {}, result.get("steps") or []
    sentences = result.get("sentences") or []
    cited = [each["document"] for sentence in sentences for each in sentence.get("citations") or []]
    tools = [step for step in steps if step.get("kind") == "tool"]
    return Answer(
        text=result.get("text") or "",
        version=name,
        tool_calls=[ToolCall(name=step["name"], arguments=step.get("arguments")) for step in tools],
        documents=list(dict.fromkeys(cited)),
        abstained=bool(result.get("abstained")),
        num_input_tokens=usage.get("prompt_tokens") or 0,
        num_output_tokens=usage.get("completion_tokens") or 0,
        seconds=seconds,
        cost="" if result.get("cost") is None else format_nanos(result["cost"]),
        currency=result.get("currency") or "",
        finish_reason=result.get("finish_reason") or "",
    )


def _is_conversation(input: Any) -> bool:
    is_list = isinstance(input, list) and bool(input)
    return is_list and all(isinstance(each, dict) and "role" in each for each in input)


async def ask_judge(asker: Asker, judge: Judge, input: str, answer: str) -> Finding:
    """Return a judge's opinion. Raises LLMOSError if it has none, or another version than the pinned one answered."""
    question = f"{judge.question}\n\nInput:\n{input}\n\nAnswer:\n{answer}"
    body = await asker.post(
        _CHAT,
        {
            "model": judge.model,
            "messages": [{"role": "system", "content": _JUDGE}, {"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": _JUDGE_TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "schema": _VERDICT, "strict": True},
            },
        },
    )
    found = read_answer(body, 0)
    if found.version != judge.version:
        raise LLMOSError(f"{found.version} answered for the judge {judge.name}, whose version is {judge.version}.")
    try:
        verdict = msgspec.json.decode(found.text)
        return Finding(bool(verdict["passes"]), str(verdict["reason"])[:400])
    except (msgspec.DecodeError, KeyError, TypeError):
        raise LLMOSError(f"The judge {judge.name} gave no verdict: {found.text[:80]!r}.") from None


def _arguments(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        return text
