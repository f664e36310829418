"""Triton Inference Server, the real one: its models pass requests to a real LLMOS server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from llmos.client import Client
from llmos.models.transfer.triton.repository import TritonOptions, write_repository
from support.doc_pages import DocPage
from support.lazy_modules import LazyModule
from support.looking import pause_thread
from support.real_server import KEY, Running, ask
from support.remote_models import Strange, strange_provider
from support.triton_server import TritonServer, triton_server

pytestmark = pytest.mark.process

triton: Any = LazyModule("tritonclient.http")
triton_utils: Any = LazyModule("tritonclient.utils")

PAGE = DocPage("triton.md")

PROMPT = "A cat is an animal that"
GREEDY = {"temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with triton_server(LLMOS_API_KEY=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def exported(server: TritonServer, running: Running) -> TritonServer:
    """Triton with `smollm2` and `smollm2_stream`."""
    write_repository(server.repository, TritonOptions(model="smollm2", endpoint=running.url))
    assert server.load("smollm2") == server.load("smollm2_stream") == ""
    return server


@pytest.fixture(scope="module")
def strange(exported: TritonServer) -> Iterator[type[Strange]]:
    """A server in place of LLMOS that answers as a test says. `strange` and `strange_stream` pass requests to it."""
    with strange_provider() as (url, strange):
        write_repository(exported.repository, TritonOptions(model="smollm2", name="strange", endpoint=url))
        assert exported.load("strange_stream") == exported.load("strange") == ""
        yield strange


@pytest.fixture
def client(exported: TritonServer) -> Iterator[Any]:
    with triton.InferenceServerClient(exported.address, network_timeout=120, connection_timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def direct(running: Running) -> str:
    """The answer of LLMOS itself."""
    body = {"text_input": PROMPT, "parameters": GREEDY}
    return str(ask(running, "POST", "/v2/models/smollm2/generate", body)["text_output"])


def tensor(name: str, values: Any, *, binary: bool = True) -> Any:
    array = np.array(values)
    datatype = "BYTES" if array.dtype.kind in "OSU" else triton_utils.np_to_triton_dtype(array.dtype)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array.astype(np.object_) if datatype == "BYTES" else array, binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_continued_as_llmos_continues_them(client: Any, direct: str, binary: bool) -> None:
    texts = tensor("text_input", [PROMPT, PROMPT], binary=binary)
    result = client.infer("smollm2", [texts], request_id="mine", parameters=GREEDY)
    assert result.as_numpy("text_output").tolist() == [direct.encode()] * 2
    assert result.as_numpy("finish_reason").tolist() == [b"length"] * 2
    assert result.as_numpy("num_output_tokens").tolist() == [8] * 2
    assert result.as_numpy("num_input_tokens").dtype == np.uint32
    assert result.get_response()["id"] == "mine"


def test_the_inputs_of_tritons_vllm_backend_are_accepted(client: Any, direct: str) -> None:
    inputs = [
        tensor("text_input", [PROMPT]),
        tensor("sampling_parameters", [json.dumps(GREEDY)]),
        tensor("exclude_input_in_output", [False]),
    ]
    wanted = [triton.InferRequestedOutput("text_output")]
    result = client.infer("smollm2", inputs, outputs=wanted)
    assert result.as_numpy("text_output").tolist() == [(PROMPT + direct).encode()]
    assert result.as_numpy("finish_reason") is None


def test_a_stream_arrives_in_pieces(exported: TritonServer, direct: str) -> None:
    body = {"text_input": PROMPT, "sampling_parameters": json.dumps(GREEDY)}
    reply = exported.post("models/smollm2_stream/generate_stream", body)
    *pieces, last = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]
    assert len(pieces) > 1
    assert "".join(each["text_output"] for each in [*pieces, last]) == direct
    assert (last["finish_reason"], last["num_output_tokens"]) == ("length", 8)


def test_a_stream_over_grpc(exported: TritonServer, direct: str) -> None:
    *pieces, last = exported.stream("smollm2_stream", PROMPT)
    assert len(pieces) > 1
    assert "".join(each["text_output"] for each in [*pieces, last]) == direct
    assert (last["finish_reason"], last["num_output_tokens"]) == ("length", 8)


def test_a_cancelled_stream_ends_at_llmos_too(exported: TritonServer, strange: type[Strange]) -> None:
    hung_up = threading.Event()

    def wait_for_the_end(handler: Strange) -> None:
        while handler.rfile.read(1):
            pass
        hung_up.set()

    event = b'data: {"text_output": "a"}\n\n'
    strange.answer = (200, {"content-type": "text/event-stream"}, event)
    strange.afterwards = wait_for_the_end
    try:
        assert exported.stream("strange_stream", PROMPT, "--cancel") == [{"text_output": "a"}]
        assert hung_up.wait(60)
    finally:
        strange.afterwards = None


@pytest.mark.parametrize(
    ("inputs", "parameters", "said"),
    [
        ({"text_input": np.array([1], np.int32)}, {}, "data-type is 'INT32'"),
        ({"text_input": [[PROMPT]]}, {}, "unexpected shape"),
        ({"text_input": [b"\xff"]}, {}, "`text_input` is not valid UTF-8"),
        ({"text_input": [PROMPT], "sampling_parameters": ["[1]"]}, {}, "must contain a JSON object"),
        ({"text_input": [PROMPT], "sampling_parameters": ['{"max_tokens": 1}']}, {"max_tokens": 2}, "given twice"),
        ({"text_input": [PROMPT]}, {"max_token": 3}, "`max_tokens`"),
        ({"text_input": [PROMPT]}, {"temperature": 9}, "temperature"),
        ({"sampling_parameters": ["{}"]}, {}, "text_input"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    client: Any, direct: str, inputs: dict[str, Any], parameters: dict[str, Any], said: str
) -> None:
    given = [tensor(name, values) for name, values in inputs.items()]
    with pytest.raises(triton_utils.InferenceServerException, match=said) as caught:
        client.infer("smollm2", given, parameters=parameters)
    assert caught.value.status() == "400"
    assert client.infer("smollm2", [tensor("text_input", [PROMPT])], parameters=GREEDY).as_numpy("text_output") == [
        direct.encode()
    ], "others still get their answers"


def test_a_model_is_not_ready_where_llmos_refuses_its_key_or_name(exported: TritonServer, running: Running) -> None:
    folder = exported.repository
    (key := folder.parent / "key").write_text("another-key")
    write_repository(folder, TritonOptions(model="smollm2@1", name="locked", endpoint=running.url, key_file=str(key)))
    write_repository(folder, TritonOptions(model="nobody", endpoint=running.url))
    assert f"refuses the key that Triton has from the file {key}" in exported.load("locked")
    assert "LLMOS doesn't have the model" in exported.load("nobody")
    assert not httpx.get(f"{exported.url}/v2/models/locked/ready").is_success
    assert "Other users can read the key" in exported.log.read_text(errors="replace")
    key.write_text(f"{KEY}\n")
    assert exported.load("locked") == "", "the file is read again"


def test_llmos_that_is_gone_is_an_error_that_names_it(exported: TritonServer) -> None:
    options = TritonOptions(model="smollm2", name="gone", endpoint="http://127.0.0.1:9")
    write_repository(exported.repository, options)
    assert exported.load("gone") == "", "LLMOS may start later"
    reply = exported.post("models/gone/generate", {"text_input": PROMPT})
    assert "LLMOS can't be reached at http://127.0.0.1:9" in reply.json()["error"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, '{"error": "Too many."}', "LLMOS can't answer now: Too many."),
        (401, '{"error": {"message": "Wrong."}}', "refuses the key that Triton has from LLMOS_API_KEY: Wrong."),
        (502, "<html>", "LLMOS failed: status 502"),
        (200, 'data: {"text_output": "a"}\n\n', "broke off before the answer was complete"),
        (200, 'data: {"error": "It died."}\n\n', "LLMOS failed: It died."),
        (200, "data: [DONE]\n\n", "broke off before the answer was complete"),
    ],
)
def test_a_failure_of_llmos_is_the_callers_error(
    exported: TritonServer, strange: type[Strange], status: int, body: str, said: str
) -> None:
    strange.answer = (status, {"content-type": "text/event-stream"}, body.encode())
    reply = exported.post("models/strange_stream/generate_stream", {"text_input": PROMPT})
    assert said in reply.text


@pytest.mark.parametrize("body", ["{}", "[]", '{"outputs": [{"name": "text_output", "data": [1]}]}'])
def test_an_answer_that_is_none_of_llmos_is_an_error(exported: TritonServer, strange: type[Strange], body: str) -> None:
    strange.answer = (200, {"content-type": "application/json"}, body.encode())
    reply = exported.post("models/strange/generate", {"text_input": PROMPT})
    assert "The model that passes requests to LLMOS failed" in reply.json()["error"]


UPPER = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy()) for request in requests]

    def answer(self, texts):
        if b"fail" in texts[0]:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("it failed"))
        upper = np.array([[text.upper() for text in row] for row in texts], dtype=np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", upper)])
"""
UPPER_CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "PROMPT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "ANSWER" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""


@pytest.fixture(scope="module")
def remote(exported: TritonServer, running: Running) -> Client:
    """A client of LLMOS, whose provider `triton` is Triton. Its model `upper` has other tensors, in batches."""
    (folder := exported.repository / "upper" / "1").mkdir(parents=True)
    (folder / "model.py").write_text(UPPER)
    (folder.parent / "config.pbtxt").write_text(UPPER_CONFIG)
    assert exported.load("upper") == ""
    client = Client(running.url, api_key=KEY)
    client.providers.add("triton", kind="open-inference", base_url=f"{exported.url}/v2")
    for route in ("upper", "smollm2", "smollm2_stream", "unloaded"):
        client.routes.set(f"far-{route}", f"remote:triton/{route}")
    return client


def generated(running: Running, model: str, prompt: str = PROMPT, **parameters: Any) -> httpx.Response:
    body = {"model": model, "prompt": prompt, **parameters}
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.post(f"{running.url}/v1/completions", json=body, headers=headers, timeout=60)


@pytest.mark.parametrize("model", ["smollm2", "smollm2_stream"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_triton_is_a_target_of_a_route(
    remote: Client, running: Running, direct: str, model: str, stream: bool
) -> None:
    reply = generated(
        running, f"far-{model}", **GREEDY, stream=stream, stream_options={"include_usage": True} if stream else None
    )
    if not stream:
        answer = reply.json()
        assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == (direct, "length")
        assert answer["usage"]["completion_tokens"] == 8
        return
    *pieces, usage = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    texts = [choice["text"] for piece in pieces for choice in piece["choices"]]
    assert "".join(texts) == direct
    assert (len([text for text in texts if text]) > 1) == (model == "smollm2_stream")
    assert usage["usage"]["completion_tokens"] == 8


def asked_upper(running: Running, text: str, **parameters: Any) -> httpx.Response:
    body = {"model": "far-upper", "messages": [{"role": "user", "content": text}], **parameters}
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def answer_of(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


def test_tensors_of_other_names_in_batches(remote: Client, running: Running) -> None:
    assert answer_of(asked_upper(running, "hello")) == "HELLO"


def test_what_a_model_of_triton_cannot_do_is_refused(remote: Client, running: Running) -> None:
    reply = asked_upper(running, "ho", temperature=0)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "temperature")
    assert answer_of(asked_upper(running, "ho")) == "HO", "others are answered"


def test_a_failure_of_a_model_is_one_of_the_provider(remote: Client, running: Running) -> None:
    reply = asked_upper(running, "fail")
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "provider_failed")
    assert "it failed" in reply.json()["error"]["message"]


def test_models_that_are_not_ready_say_why(remote: Client, running: Running, exported: TritonServer) -> None:
    assert {"smollm2", "smollm2_stream", "upper"} <= set(remote.providers.models("triton"))
    assert "There is no model 'unloaded' at the provider triton" in generated(running, "far-unloaded").text
    exported.post("repository/models/upper/unload")
    while "upper" in remote.providers.models("triton"):
        pause_thread()
    asked_upper(running, "ho")  # The first one finds that it has gone.
    assert "The model upper at the provider triton is not ready: " in asked_upper(running, "ho").text
    assert exported.load("upper") == ""
    assert answer_of(asked_upper(running, "ho")) == "HO"


def test_a_triton_that_is_gone(running: Running, remote: Client) -> None:
    remote.providers.add("away", kind="open-inference", base_url="http://127.0.0.1:9")
    remote.routes.set("far-away", "remote:away/upper")
    reply = generated(running, "far-away")
    assert reply.status_code == 503
    assert "The provider away can't be reached at http://127.0.0.1:9" in reply.json()["error"]["message"]


def test_another_llmos_is_spoken_to_in_the_same_way(running: Running, remote: Client, direct: str) -> None:
    """It is this server itself here, with a key that it accepts, and one that it doesn't."""
    for name, key in (("near", KEY), ("locked", "another")):
        remote.providers.add(name, kind="open-inference", base_url=running.url, key=key)
        remote.routes.set(f"far-{name}", f"remote:{name}/smollm2")
    assert generated(running, "far-near", **GREEDY).json()["choices"][0]["text"] == direct
    assert remote.providers.models("near") == []
    locked = generated(running, "far-locked")
    assert locked.status_code == 502
    assert "doesn't accept the key" in locked.json()["error"]["message"]


def test_the_page_about_triton(
    exported: TritonServer, running: Running, direct: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command, streaming), (program,) = (
        PAGE.blocks("sh", "Triton asks LLMOS"),
        PAGE.blocks("python", "Triton asks LLMOS"),
    )
    monkeypatch.setenv("LLMOS_HOME", str(running.home))
    said = executed(["bash", "-ec", command], running, exported, tmp_path)
    assert "tritonserver --model-repository=" in said
    for name in ("smollm2", "smollm2_stream"):
        config = (tmp_path / "models" / name / "config.pbtxt").read_text()
        assert config == (exported.repository / name / "config.pbtxt").read_text()
    assert direct in executed([sys.executable, "-c", program], running, exported, tmp_path)
    assert '"finish_reason":"length"' in executed(["bash", "-ec", streaming], running, exported, tmp_path)


def executed(command: list[str], running: Running, triton: TritonServer, folder: Path) -> str:
    """Run an example of the page, and return what it prints."""
    *program, example = command
    example = example.replace("http://127.0.0.1:8000", running.url).replace("127.0.0.1:8100", triton.address)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "LLMOS_OWNER_KEY": KEY, "LLMOS_ENDPOINT": running.url}
    done = subprocess.run([*program, example], cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_about_models_of_triton(
    exported: TritonServer, running: Running, direct: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands,) = PAGE.blocks("sh", "LLMOS asks Triton")
    monkeypatch.setenv("LLMOS_HOME", str(running.home))
    said = executed(["bash", "-ec", commands], running, exported, tmp_path)
    assert "triton answers, with" in said
    assert " ".join(direct.split()) in " ".join(said.split())
