"""The fuzz targets: functions that take any bytes, and raise nothing but a bug.

gguf          a model as one GGUF file: header, tensors, tokenizer, chat template
safetensors   a model as a folder: config.json and model.safetensors in one input; see join_folder()
packed        the footer of a file of packed weights
frames        what a server and a replica say to each other over their socket
stage_steps   what home sends to a stage of a split model; the first byte is the size of a row
http          what a client sends to the HTTP server, in packets
rows          files of rows that are imported as datasets; see data_targets.py
documents     PDF, DOCX and others that are parsed

run.py searches for inputs that break them. Those it has found are in regressions/, and test_regressions.py tries them.
"""

import asyncio
import contextlib
import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from uvicorn.server import ServerState

from fuzz.data_targets import fuzz_documents, fuzz_rows
from llmos.core.errors import BadModelFile, LLMOSError
from llmos.engine.checkpoint.description import describe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.safetensors import SafetensorsFolder
from llmos.engine.messages import Command, Frame
from llmos.engine.packed_file import MAGIC, Damaged, read_footer
from llmos.engine.replica.framing import FrameReader
from llmos.engine.runner.stage_frames import BadFrame, read_step
from llmos.engine.tensors import RawTensor
from llmos.gateway.http.protocol import HttpProtocol

MAX_VALUES = 1 << 16
"""Larger tensors aren't converted: the fuzzer would spend its time on them."""


def fuzz_gguf(data: bytes) -> None:
    path = _write("model.gguf", data)
    try:
        file = GGUFFile(path)
    except BadModelFile:
        return
    _read_tensors(file.tensors)
    _describe({"model.gguf": path})


def fuzz_safetensors(data: bytes) -> None:
    config, weights = split_folder(data)
    files = {"config.json": _write("config.json", config), "model.safetensors": _write("model.safetensors", weights)}
    try:
        folder = SafetensorsFolder(files)
    except LLMOSError:
        return
    _read_tensors(folder.tensors)
    _describe(files)


def fuzz_packed(data: bytes) -> None:
    """Read a footer with this text, whose digest is right: otherwise nothing of it is looked at."""
    trailer = struct.pack("<32sQ8s", hashlib.sha256(data).digest(), len(data), MAGIC)
    for content in (data, data + trailer):
        try:
            read_footer(_write("weights.packed", content))
        except Damaged:
            continue


def fuzz_frames(data: bytes) -> None:
    """Read messages. The first byte says whose they are, and where the rest is cut."""
    if not data:
        return
    reader: FrameReader[Any] = FrameReader(Command if data[0] & 1 else Frame)
    cut = 1 + (data[0] >> 1) * len(data) // 128
    try:
        for part in (data[1:cut], data[cut:]):
            list(reader.feed(part))
    except msgspec.DecodeError:
        return


def fuzz_stage_steps(data: bytes) -> None:
    with contextlib.suppress(BadFrame):
        read_step(memoryview(data[1:]), data[0] if data else 0)


def fuzz_http(data: bytes) -> None:
    """Receive packets, which a byte 0xFF ends, on a connection of the HTTP server."""
    asyncio.run(_receive(data.split(b"\xff")))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "gguf": fuzz_gguf,
    "safetensors": fuzz_safetensors,
    "packed": fuzz_packed,
    "frames": fuzz_frames,
    "stage_steps": fuzz_stage_steps,
    "http": fuzz_http,
    "rows": fuzz_rows,
    "documents": fuzz_documents,
}


def join_folder(config: bytes, weights: bytes) -> bytes:
    return struct.pack("<H", len(config)) + config + weights


def split_folder(data: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(data[:2], "little")
    return data[2:end], data[end:]


@cache
def _folder() -> Path:
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return Path(tempfile.mkdtemp(prefix="llmos-fuzz-", dir=in_memory))


def _write(name: str, data: bytes) -> Path:
    # Another file each time: the engine maps files, and a map must not change.
    path = _folder() / name
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def _read_tensors(tensors: Mapping[str, RawTensor]) -> None:
    for name in tensors:
        try:
            tensor = tensors[name]
            num_values = 1
            for size in tensor.shape:
                num_values *= size
            if num_values <= MAX_VALUES:
                assert dequantize(tensor).shape == tensor.shape
        except LLMOSError:
            continue


def _describe(files: Mapping[str, Path]) -> None:
    with contextlib.suppress(LLMOSError):
        describe(files, with_tokenizer=True)


class _Transport(asyncio.Transport):
    """A connection that swallows what is written."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closing = False

    def write(self, data: Any) -> None:
        pass

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _receive(packets: list[bytes]) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception", RuntimeError(str(context)))))
    protocol = HttpProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    transport = _Transport()
    protocol.connection_made(transport)
    for packet in packets:
        if transport.is_closing():
            break
        protocol.data_received(packet)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    tasks = [*protocol.server_state.tasks]
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            failures.append(outcome)
    protocol._unset_keepalive_if_required()
    if failures:
        raise failures[0]
