"""The Open Inference Protocol: a text goes in as a tensor, and its continuation comes out as one.

There are no conversations in it. Sampling parameters go into an input `sampling_parameters`, a JSON object, as Triton's
vLLM backend and LLMOS take it, or into inputs of their own names, as TensorRT-LLM's models have them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from llmos.core.errors import BadRequest
from llmos.deployments.providers.open_inference.description import (
    ModelDescription,
    TensorDescription,
    first_value,
)
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.providers.request_format import Refusal, RequestFormat
from llmos.engine.messages import Counted, Delta, Event, FinishReason, Generate, ReportedUsage

MAX_TOKENS = 512
"""Sent if the caller names no limit: most servers' own is 16. The finish reason `length` shows that it was met."""

BYTES_PER_TOKEN = 4
"""For an estimate where the server counts no tokens and sends the answer as a whole."""

_SAMPLING = "sampling_parameters"

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "seed": ("seed", "random_seed"),
    "stop": ("stop", "stop_words"),
    "include_stop": ("include_stop_str_in_output",),
}
"""The names of inputs for a parameter, where there is more than its own or another."""

_PARAMETERS = (
    "min_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed", "stop", "ignore_eos", "include_stop",
)  # fmt: skip

_WANTED = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
"""Inputs of Triton's vLLM backend that ask for an output each."""

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


class OpenInferenceFormat(RequestFormat):
    refused: ClassVar = {name: Refusal(name) for name in ("n", "stop_token_ids", "logit_bias", "logprobs")}

    def __init__(
        self, model: ProviderModel, request: Generate, given: frozenset[str], description: ModelDescription
    ) -> None:
        super().__init__(model, request, given)
        self._description = description
        self.is_streamed = description.is_streamed
        self._output = ""
        self._reason: FinishReason | None = None
        self._counts: dict[str, int] = {}
        self._num_deltas = self._num_bytes = 0

    @staticmethod
    def headers(key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def path(self) -> str:
        action = "generate_stream" if self.is_streamed else "infer"
        return f"/v2/models/{quote(self.model.name)}/{action}"

    def body(self) -> dict[str, Any]:
        self.check_common()
        provider, described = self.model.provider, self._description
        output = described.text_output(provider.text_output)
        text = described.text_input(provider.text_input)
        if text is None or text.datatype != "BYTES" or text.shape_of_one is None:
            raise self._no_tensor("input", provider.text_input, text, described.inputs)
        if output is None or output.datatype != "BYTES":
            raise self._no_tensor("output", provider.text_output, output, described.outputs)
        self._output = output.name
        prompt = self._prompt()
        options = self._options()
        if described.is_llmos:
            return {"text_input": prompt, "parameters": options | self._sampling()}
        values = {text.name: prompt} | options | self._inputs_of(self._sampling())
        if missing := sorted(described.required - values.keys()):
            raise self.unsupported(
                "model", f"be asked: it needs the inputs {', '.join(missing)}, too", "Ask for another model."
            )
        if self.is_streamed:
            return values
        return {
            "inputs": [_tensor(described.inputs[name], value) for name, value in values.items()],
            "outputs": [{"name": name} for name in self._wanted_outputs()],
        }

    def _prompt(self) -> str:
        request = self.request
        if request.suffix is not None:
            raise self.unsupported("suffix", "fill in the middle", "Leave it out.")
        if request.tools is not None:
            raise self.unsupported("tools", "call tools", "Ask for a model of this machine.")
        if request.grammar is not None:
            raise self.unsupported(request.grammar.field, "hold to a grammar", "Ask for a model of this machine.")
        if any(value is not False for value in request.template_options.values()):
            name = next(iter(request.template_options))
            raise self.unsupported(name, f"take `{name}`, an option of a chat template", "Leave it out.")
        if request.text is not None:
            return request.text
        if request.messages is None:
            return request.user_text or ""
        if len(request.messages) != 1 or request.messages[0]["role"] != "user":
            raise self.unsupported(
                "messages",
                "take a conversation, since its protocol has texts only",
                "Send one message of the user, or a prompt that is written as the model expects it.",
            )
        return str(request.messages[0]["content"])

    def _options(self) -> dict[str, Any]:
        """Return what is no sampling parameter, for the inputs or parameters that the model has."""
        inputs, options = self._description.inputs, dict[str, Any]()
        if self._description.is_llmos:
            return {"raw": self.request.text is not None, "exclude_input_in_output": not self.request.echo}
        if "exclude_input_in_output" in inputs:
            options["exclude_input_in_output"] = not self.request.echo
        elif self.request.echo:
            raise self.unsupported("echo", "repeat the text", "Leave `echo` out.")
        if "stream" in inputs:
            options["stream"] = self.is_streamed
        return options | {name: True for name in _WANTED if name in inputs}

    def _sampling(self) -> dict[str, Any]:
        """Return the sampling parameters by the names that vLLM has, too."""
        limit = self.request.sampling.max_tokens
        sampling = {"max_tokens": MAX_TOKENS if limit is None else limit, **self.sampling(*_PARAMETERS)}
        if "include_stop" in sampling:
            sampling["include_stop_str_in_output"] = sampling.pop("include_stop")
        return sampling

    def _inputs_of(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of a model for its sampling parameters. Raises BadRequest for one that it lacks."""
        inputs = self._description.inputs
        if _SAMPLING in inputs:
            return {_SAMPLING: json.dumps(sampling, ensure_ascii=False)}
        found = {}
        for name, value in sampling.items():
            names = [each for each in _ALIASES.get(name, (name,)) if each in inputs]
            if names:
                found[names[0]] = value
            elif name != "max_tokens" or self.request.sampling.max_tokens is not None:
                raise self.unsupported(name, f"take `{name}`: it has no input for it", "Leave it out.")
        return found

    def _wanted_outputs(self) -> list[str]:
        others = ("finish_reason", "num_input_tokens", "num_output_tokens")
        return [self._output, *(name for name in others if name in self._description.outputs)]

    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        if not self.is_streamed:
            event = {output["name"]: output["data"] for output in event["outputs"]}
        for name in ("num_input_tokens", "num_output_tokens"):
            if event.get(name) is not None:
                self._counts[name] = self.num_tokens({name: first_value(event[name])}, name)
        if (reason := event.get("finish_reason")) is not None and (named := first_value(reason)):
            self._reason = _REASONS.get(named, "stop")
        has_text = self._output in event or not self.is_streamed  # An event of a stream may have other outputs alone.
        text = first_value(event[self._output]) if has_text else ""
        if text:
            self._num_deltas += 1
            self._num_bytes += len(text.encode())
            yield Delta(id=self.request.id, text=text, num_output_tokens=self._num_tokens())

    def end(self) -> Iterator[Event]:
        has_reason = self._description.is_llmos or "finish_reason" in self._description.outputs
        if self._reason is None and has_reason and self.is_streamed:
            raise self.ended_early()
        if len(self._counts) == 2:
            reported = ReportedUsage(
                num_prompt_tokens=self._counts["num_input_tokens"],
                num_cached_tokens=0,
                num_completion_tokens=self._counts["num_output_tokens"],
                num_visible_tokens=self._counts["num_output_tokens"],
                cost_nanos=None,
            )
            yield Counted(self.request.id, reported.num_prompt_tokens, reported)
        yield Delta(id=self.request.id, finish_reason=self._reason or "stop", num_output_tokens=self._num_tokens())

    def _num_tokens(self) -> int:
        """Return the tokens of the answer so far: as the server counts them, else about as many."""
        if (num := self._counts.get("num_output_tokens")) is not None:
            return num
        return self._num_deltas if self.is_streamed else -(-self._num_bytes // BYTES_PER_TOKEN)

    def _no_tensor(
        self, kind: str, name: str | None, found: TensorDescription | None, tensors: Mapping[str, TensorDescription]
    ) -> BadRequest:
        known = ", ".join(f"{each.name} ({each.datatype} {each.shape})" for each in tensors.values()) or "none"
        problem = (
            f"its {kind} {found.name} is {found.datatype} {found.shape}" if found else f"its text {kind} isn't clear"
        )
        provider = self.model.provider
        return self.unsupported(
            "model",
            f"be asked for one text: {problem}. Its {kind}s are {known}",
            f"Name the one for texts: llmos provider add {provider.name} --kind {provider.kind}"
            f" --base-url {provider.base_url} --text-{kind} NAME",
        )


def _tensor(tensor: TensorDescription, value: Any) -> dict[str, Any]:
    """Return an input with one element, or with a list in its last dimension."""
    values = value if isinstance(value, list) else [value]
    shape = [1] * (len(tensor.shape) - 1) + [len(values)]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": values}
