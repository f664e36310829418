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

from llmos.models.transfer.triton.repository import TritonOptions, write_repository
from support.doc_pages import DocPage
from support.lazy_modules import LazyModule
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
    """What LLMOS itself answers."""
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
