"""Export to Triton: what is written, and what is refused. tests/gateway/test_real_triton.py serves it with Triton."""

from pathlib import Path

import pytest

from llmos.core.errors import BadRequest, Conflict
from llmos.models.transfer.triton.repository import TritonOptions, write_repository

ENDPOINT = "http://127.0.0.1:8000"


def test_there_are_a_plain_model_and_a_streaming_one(tmp_path: Path) -> None:
    options = TritonOptions(model="smollm2", endpoint=f"{ENDPOINT}/", key_file='/run/"secret"')
    plain, streamed = write_repository(tmp_path / "models", options)
    assert [path.name for path in (plain, streamed)] == ["smollm2", "smollm2_stream"]
    assert "decoupled: false" in (plain / "config.pbtxt").read_text()
    assert "decoupled: true" in (streamed / "config.pbtxt").read_text()
    config = (streamed / "config.pbtxt").read_text()
    assert 'key: "endpoint" value { string_value: "http://127.0.0.1:8000" }' in config
    assert r'key: "key_file" value { string_value: "/run/\"secret\"" }' in config
    assert (plain / "1" / "model.py").read_bytes() == (streamed / "1" / "model.py").read_bytes()
    write_repository(tmp_path / "models", TritonOptions(model="smollm2", name="other", endpoint=ENDPOINT))
    assert len(list((tmp_path / "models").iterdir())) == 4


@pytest.mark.parametrize(
    ("model", "name"), [("smollm2@3", "smollm2_3"), ("smollm2:prod", "smollm2_prod"), ("dialogue", "dialogue")]
)
def test_a_reference_becomes_a_name_that_triton_takes(tmp_path: Path, model: str, name: str) -> None:
    plain, _ = write_repository(tmp_path, TritonOptions(model=model, endpoint=ENDPOINT))
    assert plain.name == name
    assert f'string_value: "{model}"' in (plain / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TritonOptions(model="smollm2", name="../up", endpoint=ENDPOINT), "can't be a model's name at Triton"),
        (TritonOptions(model="smollm2", name="", endpoint=ENDPOINT), "can't be a model's name at Triton"),
        (TritonOptions(model="smollm2", endpoint="127.0.0.1:8000"), "isn't the URL of an LLMOS server"),
        (TritonOptions(model="smollm2", endpoint="http://me:secret@host"), "isn't the URL of an LLMOS server"),
        (TritonOptions(model="smollm2", endpoint="http://host:99999"), "isn't the URL of an LLMOS server"),
    ],
)
def test_an_option_that_triton_cannot_use_writes_nothing(tmp_path: Path, options: TritonOptions, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        write_repository(tmp_path / "models", options)
    assert "secret" not in caught.value.message
    assert not (tmp_path / "models").exists()


def test_a_model_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    options = TritonOptions(model="smollm2", endpoint=ENDPOINT)
    (tmp_path / "smollm2_stream").mkdir()
    with pytest.raises(Conflict, match="smollm2_stream exists"):
        write_repository(tmp_path, options)
    assert not (tmp_path / "smollm2").exists()
