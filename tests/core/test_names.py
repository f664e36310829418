"""References, names and file names."""

import pytest

from llmos.core.errors import BadRequest
from llmos.core.names import Reference, check_file_name, check_name, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("smollm2", Reference("smollm2")),
        ("Qwen2.5-7B_it", Reference("Qwen2.5-7B_it")),
        ("smollm2:prod", Reference("smollm2", alias="prod")),
        ("smollm2@3", Reference("smollm2", number=3)),
        (f"smollm2@{DIGEST}", Reference("smollm2", digest=DIGEST)),
        (f"smollm2@{DIGEST[:19]}", Reference("smollm2", digest=DIGEST[:19])),
    ],
)
def test_there_are_four_kinds_of_reference(text, reference):
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-x", "a b", "a/b", "../a", "a:", "a:b:c", "a@", "a@0", "a@-1", "a@1.5", "a@x", "a@٣", "a:b@1",
        "a@1@2", "a@sha256:", "a@sha256:12345", "a@sha256:" + "g" * 64, "a@sha256:" + "a" * 65, "a@" + "9" * 30,
        "x" * 65, "模型", "a\n", "a\0b",
    ],
)  # fmt: skip
def test_an_invalid_reference_is_refused_with_the_four_kinds(text):
    with pytest.raises(BadRequest, match=r"NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST"):
        parse_reference(text)


def test_a_huge_reference_is_not_repeated_in_full():
    with pytest.raises(BadRequest) as caught:
        parse_reference("x" * 1_000_000)
    assert len(caught.value.message) < 300


def test_an_invalid_name_is_refused_with_the_rules():
    with pytest.raises(BadRequest, match=r"not a valid name for a route: use letters, digits"):
        check_name("a/b", "a route")


@pytest.mark.parametrize("name", ["model.gguf", "1_Pooling/config.json", "a b.json", "模型.gguf"])
def test_a_file_name_may_have_folders_and_any_letters(name):
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a\0b", "a\nb", "x" * 513]
)
def test_a_file_name_outside_the_models_folder_is_refused(name):
    with pytest.raises(BadRequest, match="not a valid file name"):
        check_file_name(name)
