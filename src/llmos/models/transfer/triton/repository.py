"""A model repository of Triton Inference Server whose models pass their requests on to LLMOS.

    REPOSITORY/NAME/config.pbtxt            one answer to each request: infer and generate
    REPOSITORY/NAME/1/model.py
    REPOSITORY/NAME_stream/config.pbtxt     decoupled, which is Triton's word for many responses to a request:
    REPOSITORY/NAME_stream/1/model.py       generate_stream, and streams of gRPC

Triton refuses infer over HTTP for a decoupled model, so one model can't do both. A repository contains no key.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llmos.core.errors import BadRequest, Conflict

STREAM_SUFFIX = "_stream"

MAX_CONCURRENT_REQUESTS = 64

_TEMPLATE = Path(__file__).parent / "template" / "model.py"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonOptions:
    model: str
    """The name that LLMOS is asked for: a model, a version or a route."""
    name: str | None = None
    """The model's name at Triton. None: made of `model`."""
    endpoint: str
    """The URL of LLMOS, as Triton's machine reaches it."""
    key_file: str | None = None
    """A file on Triton's machine with the key. None: LLMOS_API_KEY in Triton's environment."""


def write_repository(folder: Path, options: TritonOptions) -> Sequence[Path]:
    """Add the two models to a repository, which may have others, and return their folders.

    Raises BadRequest for an option that Triton can't use, and Conflict where one of the folders exists.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", options.model) if options.name is None else options.name
    _check(name, options)
    models = {folder / name: False, folder / f"{name}{STREAM_SUFFIX}": True}
    if existing := [path for path in models if path.exists()]:
        raise Conflict(f"{existing[0]} exists. Remove it, or choose another name with --name.", param="path")
    code = _TEMPLATE.read_bytes()
    for path, is_streamed in models.items():
        (path / "1").mkdir(parents=True)
        (path / "1" / "model.py").write_bytes(code)
        (path / "config.pbtxt").write_text(_config(options, is_streamed=is_streamed))
    return list(models)


def _check(name: str, options: TritonOptions) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:100]!r} can't be a model's name at Triton: use up to 128 of a-z, A-Z, 0-9, '.', '_' and '-'.",
            param="name",
        )
    try:
        url = urlsplit(options.endpoint)
        is_whole = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole or url.query or url.fragment or url.username is not None:
        raise BadRequest(
            f"{options.endpoint.rpartition('@')[2][:200]!r} isn't the URL of an LLMOS server: write one such as"
            " http://127.0.0.1:8000.",
            param="endpoint",
        )


def _config(options: TritonOptions, *, is_streamed: bool) -> str:
    """Return the config.pbtxt of one model. The shapes are without a batch: LLMOS forms batches itself."""
    num = 1 if is_streamed else -1
    parameters = {
        "endpoint": options.endpoint.rstrip("/"),
        "model": options.model,
        "max_concurrent_requests": str(MAX_CONCURRENT_REQUESTS),
        **({} if options.key_file is None else {"key_file": options.key_file}),
    }
    inputs = [
        _tensor("text_input", "STRING", num),
        _tensor("sampling_parameters", "STRING", 1, is_optional=True),
        _tensor("exclude_input_in_output", "BOOL", 1, is_optional=True),
    ]
    outputs = [
        _tensor("text_output", "STRING", num),
        _tensor("finish_reason", "STRING", num),
        _tensor("num_input_tokens", "UINT32", num),
        _tensor("num_output_tokens", "UINT32", num),
    ]
    return f"""\
# {options.model} at LLMOS. Written by `llmos export`.
backend: "python"
max_batch_size: 0
input [
{_lines(inputs)}
]
output [
{_lines(outputs)}
]
model_transaction_policy {{ decoupled: {str(is_streamed).lower()} }}
instance_group [{{ kind: KIND_CPU count: 1 }}]
{_parameters(parameters)}
"""


def _tensor(name: str, datatype: str, num: int, *, is_optional: bool = False) -> str:
    optional = " optional: true" if is_optional else ""
    return f'{{ name: "{name}" data_type: TYPE_{datatype} dims: [ {num} ]{optional} }}'


def _lines(tensors: Sequence[str]) -> str:
    return ",\n".join(f"  {tensor}" for tensor in tensors)


def _parameters(parameters: Mapping[str, str]) -> str:
    # A string of JSON is one of protobuf's text format.
    return "\n".join(
        f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value, ensure_ascii=False)} }} }}'
        for key, value in parameters.items()
    )
