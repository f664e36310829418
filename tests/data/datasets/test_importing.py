"""Imports and exports: every format and shape, what is wrong with files, and the same digest after a round trip."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, Conflict
from llmos.data.datasets import formats
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.exporting import export_file, export_folder, export_shape
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.formats import read_records
from llmos.data.datasets.formats._bytes import compressed
from llmos.data.datasets.importing import examine, import_files
from llmos.data.datasets.records import ImportOptions
from llmos.data.datasets.rows import make_row
from support import examples
from support.lazy_modules import LazyModule

arro3 = LazyModule("arro3.io")

CHAT = {"messages": [{"role": "user", "content": "Wie geht's? 你好"}, {"role": "assistant", "content": "Good.\n"}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "minimum": 0.5}}}]


@pytest.fixture
def load(datasets):
    """Return a function that imports a path, and returns the version."""

    def load(path: Path, name: str = "data", config: str | None = None, **options: object):
        layout = find_layout(path, config)
        return import_files(datasets, name, layout, ImportOptions(**options), source=f"import:{path.name}")

    return load


@pytest.fixture
def contents(datasets):
    return lambda version: [json.loads(row.body) for row in datasets.rows(version)]


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    ("shape", "record", "kind", "content"),
    [
        ("messages", CHAT, "chat", CHAT),
        ("messages", {**CHAT, "tools": TOOLS, "id": 7}, "chat", {**CHAT, "tools": TOOLS}),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}], "system": "Be kind."},
            "chat",
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Ho"},
                ]
            },
        ),
        (
            "alpaca",
            {"instruction": "Add", "input": "1 and 2", "output": "3"},
            "chat",
            {"messages": [{"role": "user", "content": "Add\n\n1 and 2"}, {"role": "assistant", "content": "3"}]},
        ),
        (
            "prompt-completion",
            {"prompt": "1 + 1", "completion": "2"},
            "chat",
            {"messages": [{"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}]},
        ),
        (
            "chatml",
            {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"},
            "chat",
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        ),
        (
            "preference",
            {"prompt": "Hi", "chosen": "Ho", "rejected": "No"},
            "preference",
            {
                "messages": [{"role": "user", "content": "Hi"}],
                "chosen": [{"role": "assistant", "content": "Ho"}],
                "rejected": [{"role": "assistant", "content": "No"}],
            },
        ),
        (
            "preference",
            {
                "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
                "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No"}],
            },
            "preference",
            {
                "messages": [{"role": "user", "content": "Hi"}],
                "chosen": [{"role": "assistant", "content": "Ho"}],
                "rejected": [{"role": "assistant", "content": "No"}],
            },
        ),
        ("case", {"input": "1 + 1", "expected": {"answer": 2}}, "case", {"input": "1 + 1", "expected": {"answer": 2}}),
        ("text", {"text": "Once upon a time"}, "text", {"text": "Once upon a time"}),
    ],
)
def test_a_shape_is_recognized_and_becomes_rows(load, contents, tmp_path, shape, record, kind, content):
    path = write_lines(tmp_path / "data.jsonl", record, record)
    preview = examine(find_layout(path), ImportOptions())
    assert (preview.shape.name, [row.kind for row in preview.rows]) == (shape, [kind, kind])
    version = load(path)
    assert contents(version) == [content, content]
    assert version.report["shape"] == shape


def test_rows_name_their_file_and_line(load, datasets, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two"}')
    assert [row.origin for row in datasets.rows(load(path))] == ["data.jsonl:1", "data.jsonl:3"]


IN_A_PROCESS = [pytest.param(name, marks=pytest.mark.process) for name in ("feather", "arrows")]


@pytest.mark.combinations
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv", "parquet", *IN_A_PROCESS])
def test_every_format_gives_the_same_contents(load, contents, tmp_path, format, suffix):
    records = [{"prompt": f"What is {n}?", "completion": 'A number,\n"quoted"; with a comma é 你'} for n in range(1200)]
    plain = tmp_path / f"plain.{format}"
    lines = write_lines(tmp_path / "source.jsonl", *records)
    if format == "json":
        plain.write_text(json.dumps(records, ensure_ascii=False, indent=1))
    elif format == "jsonl":
        lines.rename(plain)
    elif format in ("feather", "arrows"):
        write_arrow(plain, f"SELECT prompt, completion FROM read_json_auto('{lines}')")
    else:
        options = {"csv": "", "tsv": ", DELIMITER '\t'", "parquet": ""}[format]
        kind = "parquet" if format == "parquet" else "csv, HEADER"
        with open_columnar() as connection:
            source = f"(SELECT prompt, completion FROM read_json_auto('{lines}'))"
            connection.execute(f"COPY {source} TO '{plain}' (FORMAT {kind}{options})")
    path = tmp_path / f"data.{format}{suffix}"
    with path.open("wb") as file, compressed(file, path.name) as writer:
        writer.write(plain.read_bytes())
    found = contents(load(path))
    assert [each["messages"][0]["content"] for each in found] == [each["prompt"] for each in records]
    assert {each["messages"][1]["content"] for each in found} == {records[0]["completion"]}


def test_compression_and_the_cut_of_lines_make_no_difference_to_the_digest(load, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", {"text": "one"}, {"text": "two"})
    other = tmp_path / "other" / "data.jsonl.gz"
    other.parent.mkdir()
    other.write_bytes(gzip.compress(b'\xef\xbb\xbf{ "text":"one" }\r\n{"text": "\\u0074wo"}'))
    assert load(path).digest == load(other, "other").digest


def write_arrow(path, query):
    """Write what a query gives as Arrow: a stream, or a file that is compressed."""
    with open_columnar() as connection:
        rows = connection.sql(query)
        if path.suffix == ".arrows":
            arro3.write_ipc_stream(rows, path, compression=None)
        else:
            arro3.write_ipc(rows, path, compression="lz4")


@pytest.mark.process
def test_arrow_has_the_values_that_parquet_has(load, datasets, tmp_path):
    query = """SELECT [{'role': 'user', 'content': 'Hi', 'name': NULL::VARCHAR}] AS messages,
        1.5::DECIMAL(9,2) AS price, DATE '2026-01-02' AS day,
        'a'::ENUM('a', 'b') AS choice, NULL AS nothing, 7::UBIGINT AS number"""
    paths = [tmp_path / f"data.{suffix}" for suffix in ("parquet", "feather", "arrow", "arrows", "ipc")]
    with open_columnar() as connection:
        connection.execute(f"COPY ({query}) TO '{paths[0]}' (FORMAT parquet)")
    for path in paths[1:]:
        write_arrow(path, query)
    records = [list(read_records(path, path.name)) for path in paths]
    assert records[0][0][1]["messages"] == [{"role": "user", "content": "Hi"}]
    assert records[0][0][1]["day"] == "2026-01-02"
    assert all(each == records[0] for each in records)


def test_arrow_needs_a_package_and_says_which(load, tmp_path, monkeypatch):
    path = tmp_path / "data.arrow"
    write_arrow(path, "SELECT 'one' AS text")
    monkeypatch.setattr("llmos.data.datasets.formats.arrow.find_spec", lambda name: None)
    with pytest.raises(BadRequest, match=r"pip install 'llmos\[arrow\]'"):
        load(path)


@pytest.mark.process
def test_a_damaged_arrow_file_says_so(load, datasets, tmp_path):
    path = tmp_path / "data.arrow"
    write_arrow(path, "SELECT 'text ' || range AS text FROM range(10000)")
    whole = path.read_bytes()
    for content, reason in (
        (b"", "is no Arrow"),
        (b"FEA1" + whole, "first version"),
        (whole[:1000], "damaged"),
        (b"no arrow at all", "the process that reads it died"),
        (whole[:4000] + b"x" * 4000 + whole[8000:], "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadRequest, match=reason):
            load(path)
    assert not datasets.list()


def test_parquet_with_structs_and_nulls(load, contents, tmp_path):
    path = tmp_path / "data.parquet"
    with open_columnar() as connection:
        message = "{'role': 'user', 'content': 'Hi', 'name': NULL::VARCHAR}"
        connection.execute(
            f"COPY (SELECT [{message}] AS messages, 1.5::DECIMAL(9,2) AS x) TO '{path}' (FORMAT parquet)"
        )
    assert contents(load(path)) == [{"messages": [{"role": "user", "content": "Hi"}]}]


def test_columns_are_mapped_and_numbers_become_texts(load, datasets, tmp_path):
    path = tmp_path / "quiz.jsonl"
    write_lines(path, {"question": "1 + 1", "answer": "2", "who": 7}, {"question": 5, "answer": 6.5, "who": None})
    with pytest.raises(BadRequest, match=r"Its columns are question, answer, who\. Name the shape: --as SHAPE"):
        load(path)
    mapping = {"prompt": "question", "completion": "answer", "subject": "who"}
    version = load(path, mapping=mapping, consent="eval", language="en")
    one, two = datasets.rows(version)
    assert (one.subject, one.consent, one.language, two.subject) == ("7", "eval", "en", None)
    assert two.texts == ["5", "6.5"]
    assert version.report["widened"] == {"completion (float)": 1, "prompt (int)": 1}
    with pytest.raises(BadRequest, match=r"There is no column ask\. There are question, answer, who"):
        load(path, mapping={"prompt": "ask"})
    with pytest.raises(BadRequest, match=r"The shape case has no field prompt\. It has input, expected, language"):
        load(path, shape="case", mapping={"prompt": "question"})


def test_a_column_that_is_null_in_one_file_and_a_text_in_the_next_loads(load, datasets, tmp_path):
    write_lines(tmp_path / "a.jsonl", *[{"instruction": "x", "input": None, "output": "y"}] * 3)
    write_lines(tmp_path / "b.jsonl", {"instruction": "x", "input": "z", "output": "y"})
    assert [row.texts[0] for row in datasets.rows(load(tmp_path))] == ["x", "x", "x", "x\n\nz"]


def test_a_bad_line_names_file_line_field_and_reason_and_nothing_is_kept(load, datasets, store, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", CHAT, {"messages": [{"role": "user", "content": 5}]}, CHAT)
    with path.open("a") as file:
        file.write("{}\nnot json\n")
    with pytest.raises(BadRequest) as caught:
        load(path)
    message = caught.value.message
    assert message.startswith(
        "3 lines are no rows, and nothing was kept. Correct them, or leave them out with --on-error"
    )
    assert "data.jsonl:2: messages[0].content: Expected `str | array | null`, got `int`." in message
    assert "data.jsonl:4: Object missing required field `messages`." in message
    assert "data.jsonl:5: It is no JSON: invalid character" in message
    assert not datasets.list()
    assert not list(store.digests())


def test_bad_lines_are_skipped_on_demand_and_the_first_twenty_are_named(load, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", {"text": "one"}, *[{"text": None}] * 25, *[{"text": "two"}] * 30)
    version = load(path, on_error="skip")
    assert (version.num_rows, version.report["skipped"], len(version.report["problems"])) == (31, 25, 20)
    with pytest.raises(BadRequest, match="and 5 more"):
        load(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"text": "a\x00b"}', "invalid character"),
        (b'{"text": "\\ud800 and more"}', "surrogate"),
        (b'{"text": "\xff\xfe\xfd"}', "UTF-8"),
        (b'{"text": "a"', "truncated"),
        (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply|Expected `str`"),
        (b'{"messages": [{"role": "user", "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "nested too deeply"),
        (b'{"text": "' + b"x" * (formats.MAX_RECORD_BYTES + 10) + b'"}', "more than 16,777,216 bytes"),
        (b'["text"]', "no JSON object"),
        ('{"text": "a"}'.encode("utf-16"), "is UTF-16. Convert it first: iconv"),
        (b"", "There are no records in data.jsonl"),
    ],
)
def test_hostile_json_ends_in_one_message(load, datasets, tmp_path, content, reason):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=reason):
        load(path)
    assert not datasets.list()


def test_a_long_line_among_others_is_skipped_in_bounded_memory(load, contents, tmp_path, monkeypatch):
    monkeypatch.setattr("llmos.data.datasets.formats._bytes.MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr("llmos.data.datasets.formats._bytes._CHUNK_BYTES", 64)
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "one"}\n{"text": "' + b"x" * 100_000 + b'"}\n{"text": "three"}\n')
    version = load(path, on_error="skip")
    assert contents(version) == [{"text": "one"}, {"text": "three"}]
    assert version.report["problems"] == ["data.jsonl:2: The line has more than 1,000 bytes, the limit."]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data.json", b'[{"text": "a"}, {"text": ', r"data\.json is no JSON behind record \d"),
        ("data.csv", b"text,text\na,b\n", "must name each column, each differently"),
        ("data.csv", b'text\n"a', "no longer CSV|unexpected end"),
        ("data.csv", b"text\n\xff\xff\n", "isn't UTF-8"),
        ("data.parquet", b"PAR1 and nothing", r"data\.parquet can't be read behind row 0"),
        ("data.jsonl.gz", b"\x1f\x8b\x08 and nothing else", r"data\.jsonl\.gz can't be decompressed"),
        ("data.jsonl.zst", b"no zstd at all", r"data\.jsonl\.zst can't be decompressed"),
        ("data.odt", b"", r"data\.odt has no suffix of a known format"),
    ],
)
def test_a_file_that_is_not_in_its_format_says_so(load, datasets, tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=reason):
        load(path)
    assert not datasets.list()


def test_a_line_of_csv_with_another_number_of_values_is_a_bad_line(load, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text\none\na,b\n")
    with pytest.raises(BadRequest, match=r"data\.csv:3: It has 2 values; the first line names 1 columns"):
        load(path)


def test_the_names_of_files_say_the_splits(load, datasets, tmp_path):
    for name in ("data/train-00000-of-00001.jsonl", "data/validation.jsonl", "test/part.jsonl", "other.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / name, {"text": name})
    splits = {row.content.text: row.split for row in datasets.rows(load(tmp_path))}
    assert splits == {
        "data/train-00000-of-00001.jsonl": "train",
        "data/validation.jsonl": "validation",
        "test/part.jsonl": "test",
        "other.jsonl": None,
    }


README = """---
license: cc-by-4.0
configs:
- config_name: big
  data_files:
  - split: train
    path: big/*.jsonl
  - split: holdout
    path: [small/b.jsonl]
- config_name: small
  data_files: small/*
---
# Data
"""


def test_the_configs_of_the_readme_say_the_splits(load, datasets, tmp_path):
    for name in ("big/a.jsonl", "small/b.jsonl", "unused.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / name, {"text": name})
    (tmp_path / "README.md").write_text(README)
    with pytest.raises(BadRequest, match=r"has several configs\. Choose one: --config big \| small"):
        load(tmp_path)
    version = load(tmp_path, config="big")
    assert version.license == "cc-by-4.0"
    found = [(row.content.text, row.split) for row in datasets.rows(version)]
    assert found == [("big/a.jsonl", "train"), ("small/b.jsonl", "holdout")]
    with pytest.raises(BadRequest, match=r"has no config 'huge'\. It has big, small"):
        load(tmp_path, config="huge")


def test_a_folder_without_data_and_a_broken_readme_say_so(load, tmp_path):
    (tmp_path / "README.md").write_text("---\n{[\n---\n")
    with pytest.raises(BadRequest, match="There are no data files in"):
        load(tmp_path)
    write_lines(tmp_path / "a.jsonl", {"text": "a"})
    with pytest.raises(BadRequest, match=r"The front matter of README\.md isn't YAML"):
        load(tmp_path)


ROWS = {
    "chat": [
        {**CHAT, "tools": TOOLS},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ]
        },
    ],
    "preference": [
        {
            "messages": CHAT["messages"],
            "chosen": [{"role": "assistant", "content": "a"}],
            "rejected": [{"role": "assistant", "content": "b"}],
        }
    ],
    "case": [{"input": "1 + 1", "expected": 2}, {"input": CHAT["messages"]}],
    "text": [{"text": "a\u2028b"}, {"text": ""}],
}


@pytest.mark.combinations
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst", "/"])
@pytest.mark.parametrize("kind", ROWS)
def test_an_export_that_is_imported_has_the_same_digest(load, datasets, tmp_path, kind, suffix):
    with datasets.writing("first", kind, source="test", license="MIT") as writer:
        for number, content in enumerate(ROWS[kind] * 3):
            split = ["train", None, "test"][number % 3]
            writer.add(make_row(kind, content, origin=f"x:{number}", split=split, subject="5e", consent="train"))
        parent = writer.finish()
    with datasets.writing("first", kind, parents=[parent], recipe={"operators": [{"name": "sample"}]}) as writer:
        for row in list(datasets.rows(parent))[1:]:
            writer.add(row)
        child = writer.finish()
    for version in (parent, child):
        path = tmp_path / f"export-{version.number}{suffix}"
        if suffix == "/":
            export_folder(datasets, version, path)
        else:
            export_file(datasets, version, path)
        again = load(path, f"again-{version.number}", license="MIT" if suffix != "/" else None)
        assert again.digest == version.digest
        assert (again.parents, again.recipe) == (version.parents, version.recipe)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS},
        optional={"name": TEXTS, "weight": st.sampled_from([0.0, 1.0])},
    ),
    min_size=1,
    max_size=3,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CONTENTS = {
    "chat": st.fixed_dictionaries({"messages": MESSAGES}),
    "preference": st.fixed_dictionaries({"messages": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES}),
    "case": st.fixed_dictionaries({"input": TEXTS | MESSAGES}, optional={"expected": JSON}),
    "text": st.fixed_dictionaries({"text": TEXTS}),
}
NAME = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
COLUMNS = st.fixed_dictionaries(
    {
        "origin": NAME,
        "split": st.none() | NAME | st.sampled_from(["train", "test"]),
        "language": st.none() | NAME,
        "subject": st.none() | NAME,
        "consent": st.sampled_from([None, "train", "eval", "none"]),
    }
)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", CONTENTS)
@given(data=st.data())
@settings(max_examples=examples.examples(12, fast=3), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_export_that_is_imported_has_the_same_digest(datasets, tmp_path, kind, data):
    rows = data.draw(st.lists(st.tuples(CONTENTS[kind], COLUMNS), min_size=1, max_size=6))
    with datasets.writing(f"any-{kind}", kind, source="test") as writer:
        for content, columns in rows:
            writer.add(make_row(kind, content, **columns))
        version = writer.finish()
    folder, file = tmp_path / "out", tmp_path / "out.jsonl"
    shutil.rmtree(folder, ignore_errors=True)
    file.unlink(missing_ok=True)
    export_folder(datasets, version, folder)
    export_file(datasets, version, file)
    for path in (folder, file):
        options = ImportOptions(shape=export_shape(kind, None).name)
        assert import_files(datasets, "again", find_layout(path), options, source="test").digest == version.digest
    datasets.remove("again")


@pytest.mark.thorough
@pytest.mark.parametrize("shape", ["messages", "sharegpt", "alpaca", "prompt-completion", "chatml"])
@given(texts=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5))
@settings(max_examples=examples.examples(15, fast=4), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_conversation_survives_every_shape(datasets, tmp_path, shape, texts):
    with datasets.writing("turns", "chat", source="test") as writer:
        for question, answer in texts:
            marked = [
                {"role": "user", "content": f"<{question}>"},
                {"role": "assistant", "content": f"<{answer}>"},
            ]
            writer.add(make_row("chat", {"messages": marked}, origin="x:1"))
        version = writer.finish()
    path = tmp_path / "turns.jsonl"
    path.unlink(missing_ok=True)
    export_file(datasets, version, path, shape=shape)
    again = import_files(datasets, "again", find_layout(path), ImportOptions(), source="test")
    assert again.digest == version.digest


def test_a_folder_of_mixed_splits_has_one_file_and_the_same_digest(load, datasets, tmp_path):
    with datasets.writing("mixed", "text", source="test") as writer:
        for number in range(300):
            writer.add(make_row("text", {"text": str(number)}, origin="x:1", split=["train", "test"][number % 2]))
        version = writer.finish()
    export_folder(datasets, version, tmp_path / "out")
    assert len(list((tmp_path / "out" / "data").iterdir())) == 1
    assert load(tmp_path / "out", "again").digest == version.digest


def test_a_shape_refuses_what_it_has_no_place_for(load, datasets, tmp_path):
    version = load(write_lines(tmp_path / "data.jsonl", {**CHAT, "tools": TOOLS}))
    with pytest.raises(
        BadRequest, match=r"\(data\.jsonl:1\) can't be exported: The shape sharegpt has no place for tools"
    ):
        export_file(datasets, version, tmp_path / "out.jsonl", shape="sharegpt")
    with pytest.raises(BadRequest, match=r"can be exported as .* not as text"):
        export_file(datasets, version, tmp_path / "out.jsonl", shape="text")
    assert not (tmp_path / "out.jsonl").exists()
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(Conflict, match="exists"):
        export_file(datasets, version, tmp_path / "out.jsonl")
    with pytest.raises(Conflict, match="isn't empty"):
        export_folder(datasets, version, tmp_path)
