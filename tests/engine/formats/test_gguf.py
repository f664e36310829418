"""GGUF: valid files are read completely, and each error in an invalid file is named."""

import os
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile

U8, U32, BOOL, STRING, ARRAY = 0, 4, 7, 8, 9  # GGUF's type numbers of values


def number(value: int) -> bytes:
    return struct.pack("<I", value)


def test_metadata_are_read_as_the_gguf_package_wrote_them(sound_gguf: Path):
    metadata = GGUFFile(sound_gguf).metadata
    expected = {
        "general.architecture": "llama", "u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4_000_000_000,
        "i32": -2_000_000_000, "f32": 0.5, "u64": 2**63, "i64": -(2**62), "f64": 0.1, "bool": True,
        "string": "人生 😀", "strings": ["a", "", "人"], "numbers": [1, 2, 3], "floats": [0.25, -1.0],
        "bools": [True, False],
    }  # fmt: skip
    assert metadata == expected
    assert metadata["bool"] is True


def test_tensors_have_the_shapes_and_values_that_the_gguf_package_reads(sound_gguf: Path):
    ours = GGUFFile(sound_gguf).tensors
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(sound_gguf).tensors}
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        if name == "Q8_K.weight":
            continue
        shape = tuple(int(size) for size in reversed(tensor.shape))
        assert ours[name].shape == shape
        assert ours[name].dtype == tensor.tensor_type.name
        with np.errstate(all="ignore"):
            expected = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        np.testing.assert_array_equal(dequantize(ours[name]), expected)


def test_a_tensor_is_a_view_of_the_file(sound_gguf: Path):
    data = GGUFFile(sound_gguf).tensors["f32.weight"].data
    assert not data.flags.owndata
    assert not data.flags.writeable


def test_a_tensor_of_an_unsupported_type_is_rejected_when_it_is_accessed(sound_gguf: Path):
    tensors = GGUFFile(sound_gguf).tensors
    assert "Q8_K.weight" in tensors
    with pytest.raises(UnsupportedModel, match=r"'Q8_K.weight' .* has type Q8_K"):
        tensors["Q8_K.weight"]
    with pytest.raises(KeyError):
        tensors["no such tensor"]


def test_version_2_reads_like_version_3(write, build):
    path = write([build.pair("a", U32, number(7))], [build.info("t", (2,))], data=bytes(32), version=2)
    assert GGUFFile(path).metadata == {"a": 7}


def test_the_real_model_is_read(smollm2_path: Path):
    file = GGUFFile(smollm2_path)
    assert file.metadata["general.architecture"] == "llama"
    assert len(file.metadata["tokenizer.ggml.tokens"]) == 49152
    assert file.tensors["token_embd.weight"].shape == (49152, 576)
    assert file.tensors["blk.0.ffn_down.weight"].dtype == "Q4_1"


def test_text_that_is_not_utf8_becomes_replacement_characters(write, build):
    pairs = [
        build.pair("a", STRING, build.string(b"x\xff")),
        build.pair("b", ARRAY, build.array(STRING, 1, build.string(b"\xe4"))),
    ]
    assert GGUFFile(write(pairs)).metadata == {"a": "x\ufffd", "b": ["\ufffd"]}


def test_nested_arrays_are_read_as_nested_lists(write, build):
    inner = build.array(U32, 2, number(1) + number(2))
    assert GGUFFile(write([build.pair("a", ARRAY, build.array(ARRAY, 2, inner + inner))])).metadata == {
        "a": [[1, 2], [1, 2]]
    }


def test_a_file_may_set_its_alignment(write, build):
    pairs = [build.pair("general.alignment", U32, number(64))]
    infos = [build.info("a", (2,)), build.info("b", (2,), offset=64)]
    header = build.gguf_bytes(pairs, infos)
    data = np.arange(2, dtype=np.float32).tobytes().ljust(64, b"\0") + np.arange(2, 4, dtype=np.float32).tobytes()
    tensors = GGUFFile(write(header.ljust(-(-len(header) // 64) * 64, b"\0") + data)).tensors
    np.testing.assert_array_equal(dequantize(tensors["b"]), [2, 3])


# --- invalid files


def test_a_missing_or_empty_file_is_rejected(write, tmp_path: Path):
    with pytest.raises(BadModelFile, match="No such file"):
        GGUFFile(tmp_path / "absent.gguf")
    with pytest.raises(BadModelFile, match="directory"):
        GGUFFile(tmp_path)
    with pytest.raises(BadModelFile, match="empty"):
        GGUFFile(write(b""))


def test_errors_use_the_file_name_that_users_know(write):
    path = write(b"<html>")
    with pytest.raises(BadModelFile, match=r"^model\.gguf is not"):
        GGUFFile(path)
    with pytest.raises(BadModelFile, match=r"^smollm2\.gguf is not"):
        GGUFFile(path, "smollm2.gguf")


def test_a_file_of_another_kind_is_rejected(write):
    with pytest.raises(BadModelFile, match="not a GGUF file"):
        GGUFFile(write(b"<html>Not found</html>"))
    with pytest.raises(BadModelFile, match="pickle"):
        GGUFFile(write(b"PK\x03\x04" + bytes(100)))
    with pytest.raises(BadModelFile, match="is not a GGUF file"):
        GGUFFile(write((640).to_bytes(8, "little") + b"{}".ljust(640)))


def test_other_versions_and_byte_orders_are_rejected(write):
    with pytest.raises(BadModelFile, match="version 1"):
        GGUFFile(write(version=1))
    with pytest.raises(BadModelFile, match="version 4"):
        GGUFFile(write(version=4))
    with pytest.raises(BadModelFile, match="big-endian"):
        GGUFFile(write(version=3 << 24))


def test_a_file_cut_off_anywhere_in_its_header_is_rejected(sound_gguf: Path, write):
    whole = sound_gguf.read_bytes()
    start = min(tensor.data_offset for tensor in gguf.GGUFReader(sound_gguf).tensors)
    path = write(whole)
    for end in range(start - 1, 0, -1):
        os.truncate(path, end)
        with pytest.raises(BadModelFile):
            GGUFFile(path)


def test_a_file_cut_off_in_its_tensors_names_the_tensor(sound_gguf: Path, write):
    with pytest.raises(BadModelFile, match=r"tensor 'IQ2_S.weight'|tensor 'IQ4_XS.weight'"):
        GGUFFile(write(sound_gguf.read_bytes()[:-600]))


@pytest.mark.parametrize("count", [1, 2**16, 2**32, 2**63, 2**64 - 1])
def test_counts_that_exceed_the_file_are_rejected(write, count: int):
    with pytest.raises(BadModelFile, match="tensors, more than it can hold"):
        GGUFFile(write(num_tensors=count))
    with pytest.raises(BadModelFile, match="metadata entries, more than it can hold"):
        GGUFFile(write(num_pairs=count))


@pytest.mark.parametrize("length", [1000, 2**31, 2**63, 2**64 - 1])
def test_lengths_that_exceed_the_file_are_rejected(write, build, length: int):
    claim = struct.pack("<Q", length)
    for bad in [
        [claim + b"key"],
        [build.pair("a", STRING, claim + b"x")],
        [build.pair("a", ARRAY, build.array(STRING, 2, build.string("x") + claim))],
        [build.pair("a", ARRAY, build.array(U8, length, b"xxx"))],
        [build.pair("a", ARRAY, build.array(STRING, length, b"xxx"))],
        [build.pair("a", ARRAY, build.array(ARRAY, length, b"xxx"))],
    ]:
        with pytest.raises(BadModelFile, match=r"cut short|damaged|more than"):
            GGUFFile(write(bad))
    with pytest.raises(BadModelFile, match=r"cut short|damaged"):
        GGUFFile(write([], [claim + bytes(40)]))


def test_more_array_values_than_any_model_has_are_rejected(write, build):
    num_values = 3_000_000
    pairs = [build.pair(f"a{i}", ARRAY, build.array(U8, num_values, bytes(num_values))) for i in range(3)]
    with pytest.raises(BadModelFile, match="array values"):
        GGUFFile(write(pairs))


def test_deeply_nested_arrays_are_rejected(write, build):
    value = build.array(U8, 1, b"x")
    for _ in range(1000):
        value = build.array(ARRAY, 1, value)
    with pytest.raises(BadModelFile, match="nests arrays"):
        GGUFFile(write([build.pair("a", ARRAY, value)]))


def test_invalid_metadata_are_rejected(write, build):
    for pairs, message in [
        ([build.pair("a", U8, b"x"), build.pair("a", U8, b"y")], "'a' twice"),
        ([build.pair("a", 13, b"x" * 8)], "unknown type 13"),
        ([build.pair("a", ARRAY, build.array(99, 1, b"x" * 8))], "unknown type 99"),
        ([build.pair("a", BOOL, b"\x02")], "true or false"),
        ([build.pair("a", ARRAY, build.array(BOOL, 1, b"\x02"))], "true or false"),
        ([build.pair(b"\xff", U8, b"x")], "not text"),
        ([build.pair("general.alignment", U32, number(0))], "alignment"),
        ([build.pair("general.alignment", U32, number(48))], "alignment"),
        ([build.pair("general.alignment", U32, number(2**31))], "alignment"),
        ([build.pair("general.alignment", STRING, build.string("32"))], "alignment"),
    ]:
        with pytest.raises(BadModelFile, match=message):
            GGUFFile(write(pairs))


def test_invalid_tensors_are_rejected(write, build):
    huge = 2**40
    for infos, message in [
        ([build.info("a", (4,)), build.info("a", (4,), offset=32)], "'a' twice"),
        ([build.info(b"\xff", (4,))], "not text"),
        ([build.info("a", ())], "0 dimensions"),
        ([build.info("a", (1, 1, 1, 1, 1))], "5 dimensions"),
        ([build.info("a", (4, 0))], "empty shape"),
        ([build.info("a", (33,), type_number=8)], "multiples of 32"),
        ([build.info("a", (255,), type_number=14)], "multiples of 256"),
        ([build.info("a", (huge, huge, huge, huge))], "cut short: tensor 'a'"),
        ([build.info("a", (4,), offset=2**64 - 32)], "cut short: tensor 'a'"),
        ([build.info("a", (4,), offset=64)], "cut short: tensor 'a'"),
        ([build.info("a", (17,))], "cut short: tensor 'a'"),
        ([build.info("a", (4,), offset=8)], "not a multiple of 32"),
        ([build.info("a", (4,)), build.info("b", (4,))], "'a' and 'b' overlap"),
        ([build.info("a", (12,)), build.info("b", (4,), offset=32)], "'a' and 'b' overlap"),
        ([build.info("a", (4,), type_number=77), build.info("b", (4,))], "'a' and 'b' overlap"),
    ]:
        with pytest.raises(BadModelFile, match=message):
            GGUFFile(write([], infos, data=bytes(64)))


def test_an_unknown_type_is_named_by_its_number(write, build):
    tensors = GGUFFile(write([], [build.info("a", (4,), type_number=77)], data=bytes(64))).tensors
    with pytest.raises(UnsupportedModel, match="number 77"):
        tensors["a"]
