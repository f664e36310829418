"""Requests and answers of the Open Inference Protocol, for models as several servers describe them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmos.core.errors import BadRequest, ProviderFailed
from llmos.deployments.providers.open_inference.description import ModelDescription, read_description
from llmos.deployments.providers.open_inference.format import OpenInferenceFormat
from llmos.deployments.providers.provider_model import Provider, ProviderModel
from llmos.engine.messages import Counted, Delta, Generate, Grammar, SamplingParams, Tools

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def tensor(name: str, datatype: str = "BYTES", shape: tuple[int, ...] = (-1,)) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def described(
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    *,
    platform: str = "python",
    decoupled: bool = False,
    required: tuple[str, ...] = (),
) -> ModelDescription:
    config = {
        "input": [{"name": each["name"], "optional": each["name"] not in required} for each in inputs],
        "model_transaction_policy": {"decoupled": decoupled},
    }
    metadata = {"name": "m", "platform": platform, "inputs": inputs, "outputs": outputs}
    return read_description(json.dumps(metadata).encode(), json.dumps(config).encode())


PLAIN = described([tensor("PROMPT", shape=(-1, 1))], [tensor("ANSWER", shape=(-1, 1))])
VLLM = described(
    [
        tensor("text_input", shape=(1,)),
        tensor("stream", "BOOL", (1,)),
        tensor("sampling_parameters", shape=(1,)),
        tensor("exclude_input_in_output", "BOOL", (1,)),
        tensor("return_finish_reason", "BOOL", (1,)),
    ],
    [tensor("text_output"), tensor("finish_reason"), tensor("num_output_tokens", "UINT32")],
    decoupled=True,
)
TENSORRT = described(
    [
        tensor("text_input", shape=(-1, 1)),
        tensor("max_tokens", "INT32", (-1, 1)),
        tensor("temperature", "FP32", (-1, 1)),
        tensor("stop_words", shape=(-1, -1)),
        tensor("random_seed", "UINT64", (-1, 1)),
    ],
    [tensor("text_output", shape=(-1, -1))],
)


def asked(description: ModelDescription, *, names: dict[str, str] | None = None, **request: Any) -> OpenInferenceFormat:
    sampling = request.pop("sampling", {})
    provider = Provider(
        name="far", kind="open-inference", base_url="http://far", created_at=NOW, updated_at=NOW, **(names or {})
    )
    prompt = request if request.keys() & {"text", "messages", "user_text"} else {"text": "Hi", **request}
    generate = Generate(id="1", sampling=SamplingParams(**sampling), **prompt)
    return OpenInferenceFormat(ProviderModel(provider, "m"), generate, frozenset(sampling), description)


def test_the_only_tensor_for_texts_is_found_with_its_batch_dimension() -> None:
    format = asked(PLAIN)
    body = format.body()
    assert format.path() == "/v2/models/m/infer"
    assert body["inputs"] == [{"name": "PROMPT", "datatype": "BYTES", "shape": [1, 1], "data": ["Hi"]}]
    assert body["outputs"] == [{"name": "ANSWER"}]
    (delta,) = format.read({"outputs": [{"name": "ANSWER", "data": ["HI THERE"]}]})
    assert isinstance(delta, Delta)
    assert (delta.text, delta.num_output_tokens) == ("HI THERE", 2)
    (last,) = format.end()
    assert isinstance(last, Delta)
    assert last.finish_reason == "stop"


def test_a_stream_of_tritons_vllm_backend() -> None:
    format = asked(VLLM, sampling={"temperature": 0, "include_stop": True})
    assert format.path() == "/v2/models/m/generate_stream"
    body = format.body()
    sampling = json.loads(body.pop("sampling_parameters"))
    assert sampling == {"max_tokens": 512, "temperature": 0, "include_stop_str_in_output": True}
    assert body == {
        "text_input": "Hi",
        "stream": True,
        "exclude_input_in_output": True,
        "return_finish_reason": True,
    }
    events = [{"text_output": "He"}, {"text_output": ["llo"], "finish_reason": "length", "num_output_tokens": 2}]
    deltas = [each for event in events for each in format.read(event)]
    assert [each.text for each in deltas if isinstance(each, Delta)] == ["He", "llo"]
    (last,) = format.end()
    assert isinstance(last, Delta)
    assert (last.finish_reason, last.num_output_tokens) == ("length", 2)


def test_a_stream_without_its_last_event_is_a_failure() -> None:
    format = asked(VLLM)
    format.body()
    list(format.read({"text_output": "He"}))
    with pytest.raises(ProviderFailed, match="ended its stream before"):
        list(format.end())


def test_parameters_are_inputs_of_their_own_names() -> None:
    sampling = {"max_tokens": 9, "temperature": 0.5, "stop": ["a", "b"], "seed": 7}
    inputs = {each["name"]: each for each in asked(TENSORRT, sampling=sampling).body()["inputs"]}
    assert inputs["max_tokens"] == {"name": "max_tokens", "datatype": "INT32", "shape": [1, 1], "data": [9]}
    assert inputs["stop_words"] == {"name": "stop_words", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]}
    assert inputs["random_seed"]["data"] == [7]
    assert inputs["temperature"]["data"] == [0.5]


def test_llmos_takes_a_message_through_its_template_and_counts_the_prompt() -> None:
    llmos = described([tensor("text_input")], [tensor("text_output")], platform="llmos")
    message = [{"role": "user", "content": "Hi"}]
    format = asked(llmos, messages=message, sampling={"max_tokens": 3})
    assert format.body() == {
        "text_input": "Hi",
        "parameters": {"raw": False, "exclude_input_in_output": True, "max_tokens": 3},
    }
    list(format.read({"text_output": "Hey", "finish_reason": "stop", "num_input_tokens": 4, "num_output_tokens": 1}))
    counted, last = format.end()
    assert isinstance(counted, Counted)
    assert (counted.num_prompt_tokens, last.num_output_tokens) == (4, 1)  # type: ignore[union-attr]


def test_tensors_are_named_where_several_are_for_texts() -> None:
    two = [tensor("question"), tensor("context")]
    model = described(two, [tensor("a"), tensor("b")])
    with pytest.raises(BadRequest, match=r"Its inputs are question .* --text-input NAME"):
        asked(model).body()
    with pytest.raises(BadRequest, match=r"Its outputs are a .* --text-output NAME"):
        asked(model, names={"text_input": "question"}).body()
    body = asked(model, names={"text_input": "question", "text_output": "b"}).body()
    assert [each["name"] for each in body["inputs"] + body["outputs"]] == ["question", "b"]


@pytest.mark.parametrize(
    ("description", "request_fields", "said"),
    [
        (described([tensor("text_input", "INT32")], [tensor("text_output")]), {}, r"text_input is INT32 \[-1\]"),
        (described([tensor("text_input", shape=(3,))], [tensor("text_output")]), {}, r"is BYTES \[3\]"),
        (described([tensor("text_input")], [tensor("text_output", "FP32")]), {}, "text_output is FP32"),
        (described([tensor("text_input")], []), {}, "Its outputs are none"),
        (
            described([tensor("text_input"), tensor("image", "UINT8")], [tensor("text_output")], required=("image",)),
            {},
            "it needs the inputs image, too",
        ),
        (PLAIN, {"sampling": {"temperature": 0}}, "can't take `temperature`"),
        (PLAIN, {"sampling": {"max_tokens": 3}}, "can't take `max_tokens`"),
        (PLAIN, {"sampling": {"n": 2}}, "can't take `n`"),
        (PLAIN, {"sampling": {"logprobs": 1}}, "can't take `logprobs`"),
        (PLAIN, {"echo": True}, "can't repeat the text"),
        (PLAIN, {"suffix": "x"}, "can't fill in the middle"),
        (PLAIN, {"tools": Tools(functions=[])}, "can't call tools"),
        (PLAIN, {"grammar": Grammar("json_object", "{}", "response_format")}, "can't hold to a grammar"),
        (PLAIN, {"template_options": {"enable_thinking": True}}, "can't take `enable_thinking`"),
        (PLAIN, {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}, "conversation"),
    ],
)
def test_what_the_model_cannot_take_is_refused_by_name(
    description: ModelDescription, request_fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        asked(description, **request_fields).body()


@pytest.mark.parametrize(
    "event", [{"outputs": []}, {"outputs": [{"name": "ANSWER", "data": ["a", "b"]}]}, {"no": "outputs"}]
)
def test_an_answer_of_another_shape_is_malformed(event: dict[str, Any]) -> None:
    format = asked(PLAIN)
    format.body()
    with pytest.raises((ValueError, KeyError)):
        list(format.read(event))
