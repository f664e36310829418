"""Triton's own client works unchanged: blocking and asynchronous, with tensors in JSON and in bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from llmos.core.errors import Overloaded, ReplicaFailed
from llmos.gateway.services import Services
from support.fake_backend import FakeModel, Reached
from support.lazy_modules import LazyModule
from support.scripted import KEY, FakePool, FakeStatus, FakeVersion

pytestmark = pytest.mark.shared_gateway

triton: Any = LazyModule("tritonclient.http")
triton_aio: Any = LazyModule("tritonclient.http.aio")
triton_utils: Any = LazyModule("tritonclient.utils")

KEYS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def address(served: str) -> str:
    return served.removeprefix("http://")


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def tensor(name: str, values: Any, datatype: str = "BYTES", *, binary: bool = True, kind: Any = triton) -> Any:
    array = np.array(values, dtype=np.object_) if datatype == "BYTES" else np.array(values)
    made = kind.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def check(result: Any, *texts: str) -> None:
    assert result.as_numpy("text_output").tolist() == [text.encode() for text in texts]
    assert result.as_numpy("finish_reason").tolist() == [b"stop"] * len(texts)
    assert result.as_numpy("num_input_tokens").tolist() == [5] * len(texts)
    assert result.as_numpy("num_output_tokens").tolist() == [3] * len(texts)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_texts_are_continued(
    client: triton.InferenceServerClient, model: FakeModel, binary: bool, compression: str | None
) -> None:
    result = client.infer(
        "dialogue",
        [tensor("text_input", ["Grüße", "Twice"], binary=binary)],
        request_id="mine",
        headers=dict(KEYS),
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        parameters={"max_tokens": 7, "temperature": 0, "seed": 3},
    )
    check(result, "Hello", "Hello")
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", "smollm2", "1")
    assert [request.text for request in model.requests] == ["Grüße", "Twice"]
    sampling = model.requests[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed) == (7, 0, 3)


@pytest.mark.parametrize("binary", [True, False])
def test_requested_outputs_are_returned(client: triton.InferenceServerClient, binary: bool) -> None:
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("text_output", "num_output_tokens")]
    result = client.infer("dialogue", [tensor("text_input", [["Once"]])], outputs=wanted, headers=dict(KEYS))
    assert result.as_numpy("text_output").tolist() == [[b"Hello" if binary else "Hello"]]
    assert result.as_numpy("num_output_tokens").tolist() == [[3]]
    assert result.as_numpy("finish_reason") is None


def test_inputs_as_tritons_vllm_backend_names_them(client: triton.InferenceServerClient, model: FakeModel) -> None:
    # Its example sends numbers as strings.
    sampling = json.dumps({"temperature": "0.1", "top_p": "0.95", "max_tokens": "100", "stop": ["END"]})
    inputs = [
        tensor("text_input", ["Once"]),
        tensor("stream", [False], "BOOL"),
        tensor("sampling_parameters", [sampling]),
        tensor("exclude_input_in_output", [False], "BOOL"),
    ]
    check(client.infer("dialogue", inputs, headers=dict(KEYS)), "Hello")
    [request] = model.requests
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (0.1, 0.95, 100)
    assert request.sampling.stop == ["END"]
    assert request.echo


def test_parameters_as_inputs(client: triton.InferenceServerClient, model: FakeModel) -> None:
    inputs = [
        tensor("text_input", ["Once"]),
        tensor("max_tokens", np.array([9], np.int32), "INT32"),
        tensor("temperature", np.array([0.5], np.float32), "FP32", binary=False),
        tensor("raw", [False], "BOOL"),
    ]
    client.infer("dialogue", inputs, headers=dict(KEYS))
    [request] = model.requests
    assert (request.sampling.max_tokens, request.sampling.temperature) == (9, 0.5)
    assert (request.text, request.user_text) == (None, "Once")


def test_a_numbered_version_is_called_through_a_route(client: triton.InferenceServerClient, services: Services) -> None:
    services.registry.versions.append(FakeVersion(number=2))  # type: ignore[attr-defined]
    for model in ("dialogue", "smollm2"):
        for version in ("1", "2"):
            result = client.infer(model, [tensor("text_input", ["Once"])], model_version=version, headers=dict(KEYS))
            assert result.get_response()["model_version"] == version
            assert client.get_model_metadata(model, version, headers=KEYS)["versions"] == [version]
            assert client.is_model_ready(model, version, headers=KEYS)
    assert client.get_model_metadata("dialogue", headers=KEYS)["versions"] == ["1", "2"]
    with pytest.raises(triton_utils.InferenceServerException, match=r"has no version '3'; it has 1, 2"):
        client.infer("dialogue", [tensor("text_input", ["Once"])], model_version="3", headers=dict(KEYS))
    assert not client.is_model_ready("dialogue", "3", headers=KEYS)


def test_the_server_and_the_model_describe_themselves(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata(headers=KEYS)["name"] == "llmos"
    assert "binary_tensor_data" in client.get_server_metadata(headers=KEYS)["extensions"]
    model = client.get_model_metadata("dialogue", headers=KEYS)
    assert (model["name"], model["platform"]) == ("dialogue", "llmos")
    assert model["inputs"][0] == {"name": "text_input", "datatype": "BYTES", "shape": [-1]}
    assert [output["name"] for output in model["outputs"]] == [
        "text_output",
        "finish_reason",
        "num_input_tokens",
        "num_output_tokens",
    ]


@pytest.mark.own_gateway
def test_only_health_needs_no_key(client: triton.InferenceServerClient, services: Services, pool: FakePool) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for ask in (client.get_server_metadata, lambda: client.get_model_metadata("dialogue")):
        with pytest.raises(triton_utils.InferenceServerException, match="LLMOS_HOME/keys/owner") as caught:
            ask()
        assert caught.value.status() == "401"
    assert not client.is_model_ready("dialogue")
    services.readiness.wanted.append("smollm2@1")
    assert not client.is_server_ready()
    pool.replicas.append(FakeStatus("smollm2@1"))
    assert client.is_server_ready()
    services.readiness.is_draining = True
    assert client.is_server_live()
    assert not client.is_server_ready()


def test_a_model_is_ready_unless_it_fails(client: triton.InferenceServerClient, pool: FakePool) -> None:
    assert client.is_model_ready("dialogue", headers=KEYS), "the first request loads it"
    pool.replicas.append(FakeStatus("smollm2@1", state="failed"))
    assert not client.is_model_ready("dialogue", headers=KEYS)
    assert not client.is_model_ready("nobody", headers=KEYS)


def test_concurrent_requests_over_the_clients_pool(client: triton.InferenceServerClient) -> None:
    asked = [client.async_infer("dialogue", [tensor("text_input", ["Once"])], headers=dict(KEYS)) for _ in range(3)]
    for each in asked:
        check(each.get_result(), "Hello")


@pytest.mark.anyio
async def test_the_asynchronous_client(address: str) -> None:
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        assert await client.is_model_ready("dialogue", headers=KEYS)
        texts = tensor("text_input", ["Once", "Twice"], kind=triton_aio)
        for compression in (None, "gzip"):
            result = await client.infer(
                "dialogue", [texts], headers=dict(KEYS), request_compression_algorithm=compression
            )
            check(result, "Hello", "Hello")
        with pytest.raises(triton_utils.InferenceServerException, match="dialogue"):
            await client.infer("dialog", [texts], headers=dict(KEYS))


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (Overloaded("Try again.", retry_after_seconds=3), "429"),
        (ReplicaFailed("It died."), "502"),
        (RuntimeError("a bug"), "500"),
    ],
)
def test_errors_raise_the_clients_own_exception(
    client: triton.InferenceServerClient, model: FakeModel, raised: Exception, status: str
) -> None:
    model.enqueue(raised)
    with pytest.raises(triton_utils.InferenceServerException) as caught:
        client.infer("dialogue", [tensor("text_input", ["Once"])], headers=dict(KEYS))
    assert caught.value.status() == status
    assert "exception occurred in the client" not in caught.value.message()


@pytest.mark.anyio
async def test_hanging_up_stops_the_call(address: str, model: FakeModel) -> None:
    reached = Reached()
    model.enqueue("Hel", reached, model.never)
    async with triton_aio.InferenceServerClient(address) as client:
        texts = tensor("text_input", ["Once"], kind=triton_aio)
        asked = asyncio.create_task(client.infer("dialogue", [texts], headers=dict(KEYS)))
        await reached.told()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert await asyncio.to_thread(model.was_closed_early.wait, 60)


TEXT = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["Once"]}
BINARY = {"name": "text_input", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 8}}


def told(body: Any, **more: Any) -> str:
    return json.dumps({"inputs": [body], **more})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{}", "`inputs` is missing"),
        ("[]", "must be a JSON object"),
        ('{"inputs": []}', "`text_input` is missing"),
        (told(TEXT | {"name": "txt_input"}), "`text_input` is missing. The request has txt_input"),
        (told(TEXT | {"shape": [2]}), "has 2 elements, but the data has 1"),
        (told(TEXT | {"shape": [-1]}), "can't be negative"),
        (told(TEXT | {"shape": [1, 1, 1]}), r"accepts \[n\] or \[n, 1\]"),
        (told(TEXT | {"shape": [0], "data": []}), "n of 1 or more"),
        (told(TEXT | {"shape": [1025], "data": ["x"] * 1025}), "1,025 texts; the limit is 1,024"),
        (told(TEXT | {"shape": "one"}), r"`inputs\[0\].shape` is wrong: expected array"),
        (told(TEXT | {"datatype": "TEXT"}), "accepts BYTES"),
        (told(TEXT | {"datatype": "FP32", "data": [1.5]}), "must be BYTES"),
        (told(TEXT | {"data": [1]}), "which is not a BYTES"),
        (told(TEXT | {"data": None}), "data` is missing"),
        (told(TEXT | {"parameters": {"shared_memory_region": "r"}}), "shared_memory_region` is not supported"),
        (told(BINARY), "8, but 0 bytes are left"),
        (told(TEXT | {"parameters": {"binary_data_size": 8}}), "given twice"),
        (told(TEXT, outputs=[{"name": "text"}]), "no output 'text'"),
        (told(TEXT, parameters={"max_token": 3}), "`max_tokens`"),
        (told(TEXT, parameters={"max_tokens": "many"}), "max_tokens"),
        (told(TEXT, parameters={"stream": True}), "generate_stream"),
        (told(TEXT, parameters={"sequence_id": 3}), "keeps no state"),
        (told(TEXT, parameters={"timeout": 1000}), "close the connection"),
        (told(TEXT, parameters={"n": 2}), "several times"),
    ],
)
async def test_invalid_fields_are_rejected_by_name(
    http: httpx.AsyncClient, model: FakeModel, body: str, reason: str
) -> None:
    reply = await http.post("/v2/models/dialogue/infer", content=body)
    assert reply.status_code == 400
    with pytest.raises(ValueError, match=reason):
        raise ValueError(reply.json()["error"])
    assert model.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([{"name": "sampling_params", "shape": [1], "datatype": "BYTES", "data": ["{}"]}], "`sampling_parameters`"),
        ([{"name": "sampling_parameters", "shape": [1], "datatype": "BYTES", "data": ["[1]"]}], "JSON object"),
        ([{"name": "max_tokens", "shape": [2], "datatype": "INT32", "data": [1, 2]}], r"must be \[1\]"),
        ([{"name": "max_tokens", "shape": [1], "datatype": "INT32", "data": [1]}] * 2, "given twice"),
        ([TEXT], "`text_input` is given twice"),
    ],
)
async def test_an_invalid_additional_input_is_rejected(http: httpx.AsyncClient, more: list[Any], reason: str) -> None:
    reply = await http.post("/v2/models/dialogue/infer", json={"inputs": [TEXT, *more]})
    assert reply.status_code == 400
    with pytest.raises(ValueError, match=reason):
        raise ValueError(reply.json()["error"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("size", "data", "length", "reason"),
    [
        (8, b"\x04\x00\x00\x00Once", None, "not valid JSON"),
        (8, b"\x04\x00\x00\x00Once", "many", "must be the length of the JSON within the body's"),
        (8, b"\x04\x00\x00\x00Once", "100000", "must be the length of the JSON within the body's"),
        (8, b"\x04\x00\x00\x00Onc", "", "8, but 7 bytes are left"),
        (8, b"\x04\x00\x00\x00Once!", "", "1 bytes more"),
        (8, b"\x05\x00\x00\x00Once", "", "ends in the middle"),
        (8, b"\xff\xff\xff\xffOnce", "", "ends in the middle"),
        (3, b"\x04\x00\x00", "", "ends in the middle"),
        (8, b"\x04\x00\x00\x00\xff\xfe\xfd\xfc", "", "not valid UTF-8"),
        (-1, b"", "", "-1, but 0 bytes are left"),
        (16, b"\x04\x00\x00\x00Once" * 2, "", "has 1 elements, but the data has 2"),
    ],
)
async def test_binary_data_of_the_wrong_size_is_rejected(
    http: httpx.AsyncClient, size: int, data: bytes, length: str | None, reason: str
) -> None:
    head = told(BINARY | {"parameters": {"binary_data_size": size}}).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": length or str(len(head))}
    reply = await http.post("/v2/models/dialogue/infer", content=head + data, headers=headers)
    assert reply.status_code == 400
    assert reason in reply.json()["error"]


@pytest.mark.anyio
async def test_one_text_without_tensors(http: httpx.AsyncClient, model: FakeModel) -> None:
    asked = {"id": "mine", "text_input": "Once", "parameters": {"max_tokens": 9, "temperature": 0}}
    reply = await http.post("/v2/models/dialogue/generate", json=asked)
    assert reply.json() == {
        "id": "mine",
        "model_name": "smollm2",
        "model_version": "1",
        "text_output": "Hello",
        "finish_reason": "stop",
        "num_input_tokens": 5,
        "num_output_tokens": 3,
    }
    assert model.requests[0].sampling.max_tokens == 9
    stream = await http.post(
        "/v2/models/dialogue/generate_stream", json=asked | {"parameters": {"stream": True, "max_tokens": 9}}
    )
    *first, last = [json.loads(event.removeprefix("data: ")) for event in stream.text.split("\n\n") if event]
    assert "".join(each["text_output"] for each in first) == "Hello"
    assert (last["finish_reason"], last["num_output_tokens"]) == ("stop", 3)
    refused = await http.post("/v2/models/dialogue/generate", json=asked | {"parameters": {"stream": True}})
    assert "generate_stream" in refused.json()["error"]
    model.enqueue("Hel", ReplicaFailed("It died."))
    broken = await http.post("/v2/models/dialogue/generate_stream", json=asked)
    assert json.loads(broken.text.split("\n\n")[-2].removeprefix("data: ")) == {"error": "It died."}
