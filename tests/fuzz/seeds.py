"""Valid inputs to begin with. A fuzzer that begins with nothing never gets past the first length."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save

from fuzz.data_targets import DOCUMENT_SUFFIXES, ROW_SUFFIXES
from fuzz.targets import join_folder
from llmos.engine.formats.gguf_header import DTYPES
from llmos.engine.messages import Frame
from llmos.engine.packed_file import LAYOUT
from llmos.engine.replica.framing import FrameWriter
from llmos.engine.runner.stage import StageBatch
from llmos.engine.runner.stage_frames import step_parts
from llmos.engine.tensors import BLOCK_BYTES
from support.document_files import Bookmark, Line, docx_table, make_docx, make_pdf, make_xlsx, paragraph
from support.frames import COMMANDS, EVENTS
from support.random_models import batch_of
from support.tiny_folders import write_folder
from support.tiny_gguf import write_gguf


def seeds_of(target: str) -> list[bytes]:
    """Return seeds of a target of targets.py."""
    return list(_SEEDS[target]())


def _gguf() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_gguf(Path(folder) / "tiny.gguf").read_bytes()
        for number, dtype in DTYPES.items():
            path = Path(folder) / f"{dtype}.gguf"
            writer = gguf.GGUFWriter(str(path), "llama")
            writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
            blocks = np.full((2, BLOCK_BYTES[dtype]), 0x5A, dtype=np.uint8)
            kind = gguf.GGMLQuantizationType(number)
            writer.add_tensor("t", blocks, raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            yield path.read_bytes()


def _safetensors() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = write_folder(Path(name) / "tiny")
        weights = next(folder.glob("*.safetensors")).read_bytes()
        yield join_folder((folder / "config.json").read_bytes(), weights)
    small = {"a": np.zeros((2, 3), np.float32), "b": np.ones((4,), np.float16)}
    for config in ({"model_type": "llama"}, {"model_type": "bert", "hidden_size": 8}):
        yield join_folder(json.dumps(config).encode(), save(small, metadata={"llmos.names": "canonical"}))


def _packed() -> Iterator[bytes]:
    source = ["model.gguf", "/a/model.gguf", 1, 2]
    yield json.dumps({"layout": LAYOUT, "key": "k", "sources": [source], "num_bytes": 0, "sha256": "0" * 64}).encode()
    yield b"[]"


def _frames() -> Iterator[bytes]:
    pack = FrameWriter().pack
    for command in COMMANDS:
        yield b"\x41" + pack(command)
    for event in EVENTS:
        yield b"\x40" + pack(Frame([event]))


def _stage_steps() -> Iterator[bytes]:
    batch = StageBatch.of(batch_of([(0, [1, 2, 3], [4, 5]), (7, [1], [6])]))
    numbers = np.arange(2, dtype=np.int32)
    whole = replace(batch, adapters=numbers, states=numbers, restored=numbers, snapshots=np.zeros((1, 3), np.int32))
    for each in (batch, whole, replace(batch, wanted_rows=numbers[:0])):
        yield b"\x02" + b"".join(bytes(memoryview(part)) for part in step_parts(each, np.zeros((4, 2), np.float32)))


def _http() -> Iterator[bytes]:
    head = b"POST /v1/completions?a=b HTTP/1.1\r\nHost: x\r\n"
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n"
    yield head + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n\xfftext"
    yield head + b"Transfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\nTrailer: x\r\n\r\n"
    yield head + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\ntext"
    yield b"GET http://host//a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    yield b"CONNECT a:1 HTTP/1.1\r\n\r\n"


def _rows() -> Iterator[bytes]:
    from llmos.data.datasets.columnar import open_columnar
    from llmos.data.datasets.formats._bytes import compressed

    records = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello", "weight": 0}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"prompt": "2 + 2?", "chosen": "4", "rejected": [{"role": "assistant", "content": "5"}]},
        {"instruction": "Add.", "input": "2, 2", "output": "4"},
        {"input": "2 + 2?", "expected": {"value": 4.0}, "llmos": {"split": "test", "consent": "eval"}},
        {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>"},
    ]
    contents: dict[str, list[bytes]] = {
        ".jsonl": [json.dumps(record).encode() + b"\n" for record in records],
        ".json": [json.dumps([record, record]).encode() for record in records],
        ".csv": [b'prompt,completion\n"Hi, you",Hello\n'],
        ".tsv": [b"question\tanswer\nHi\tHello\n"],
        ".txt": [b"one\n\xef\xbb\xbftwo\n"],
    }
    with tempfile.TemporaryDirectory() as folder, open_columnar() as connection:
        table = "SELECT [{'role': 'user', 'content': 'Hi ' || range}] AS messages, 'de' AS lang FROM range(3)"
        parquet = Path(folder) / "data.parquet"
        connection.execute(f"COPY ({table}) TO '{parquet}' (FORMAT parquet)")
        contents[".parquet"] = [parquet.read_bytes()]
    for number, suffix in enumerate(ROW_SUFFIXES):
        for content in contents[f".{suffix.split('.')[1]}"]:
            file = io.BytesIO()
            with compressed(file, suffix) as writer:
                writer.write(content)
            yield bytes([number]) + file.getvalue()


def _documents() -> Iterator[bytes]:
    page = [Line("Title", 20), "Some text of this page.", "More of it."]
    page_text = "<html lang=en><title>T</title><nav>N</nav><h1>A</h1><p>b <b>c</b></p>"
    page_text += "<table><tr><td>1<td>2</table><ul><li>x"
    contents: dict[str, list[bytes]] = {
        ".pdf": [make_pdf(page, page, title="T", language="en", outline=[Bookmark("Title", 1)])],
        ".docx": [make_docx(paragraph("Title", "Heading1"), paragraph("Text"), docx_table(["a", "b"], ["c", "d"]))],
        ".xlsx": [make_xlsx(Sheet=[["a", 1.5], [None, "b"]])],
        ".html": [page_text.encode(), b"\xff\xfe" + page_text.encode("utf-16-le")],
        ".md": [b"---\na: b\n---\n# T\n\nx\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n# no\n```\n- y\n"],
        ".csv": [b"a;b\n1;2\n"],
        ".txt": [b"plain \xe9 text"],
    }
    for number, suffix in enumerate(DOCUMENT_SUFFIXES):
        for content in contents.get(suffix, []):
            yield bytes([number]) + content


_SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "gguf": _gguf,
    "safetensors": _safetensors,
    "packed": _packed,
    "frames": _frames,
    "stage_steps": _stage_steps,
    "http": _http,
    "rows": _rows,
    "documents": _documents,
}
