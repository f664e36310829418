"""The catalog: the shipped one, and errors of invalid ones."""

import re

import pytest

from llmos.core.errors import BadRequest
from llmos.models.catalog import Catalog

GOOD = """
[tiny]
description = "a tiny model"
license = "MIT"
template = "own"
[[tiny.files]]
name = "tiny.gguf"
sha256 = "{digest}"
size = 10
[[tiny.sources]]
from = "hf:owner/tiny@abc"
[[tiny.sources]]
from = "https://example.org/models"
folder = "small"
download_size = 7
[[tiny.sources.files]]
name = "other.gguf"
sha256 = "{digest}"
size = 20
""".replace("{digest}", "ab" * 32)


@pytest.fixture
def load(tmp_path):
    def load(text):
        (tmp_path / "catalog.toml").write_text(text)
        return Catalog.load(tmp_path / "catalog.toml")

    return load


@pytest.mark.parametrize("name", ["smollm2", "minilm"])
def test_the_default_model_and_the_encoder_come_from_two_places_and_are_pinned(name):
    entry = Catalog.load().get(name)
    assert entry.license == "Apache-2.0"
    assert [source.location.split(":")[0] for source in entry.sources] == ["pypi", "hf"]
    assert all(source.is_pinned for source in entry.sources)
    assert all(re.search("@[0-9a-f]{40}$|==", source.location) for source in entry.sources), "pinned"


def test_the_other_models_are_of_sizes_that_people_use_and_name_one_file_of_the_hub():
    others = [entry for entry in Catalog.load() if entry.name not in ("smollm2", "minilm")]
    assert {"qwen2.5-0.5b", "llama3.2-1b", "qwen3-4b", "llama3.1-8b"} <= {entry.name for entry in others}
    for entry in others:
        assert [re.fullmatch(r"hf:[\w.-]+/[\w.-]+#[\w.-]+\.gguf", source.location) for source in entry.sources] != [
            None
        ]
        assert 3e8 < entry.sources[0].download_size < 6e9
        assert entry.template == "own"


def test_only_a_hub_may_leave_the_digests_to_the_first_pull(load):
    unpinned = '[a]\ndescription = "a"\nlicense = "MIT"\ntemplate = "own"\n[[a.sources]]\nfrom = "{}"\n{}'
    assert load(unpinned.format("hf:acme/a", "download_size = 7")).get("a").sources[0].files == ()
    with pytest.raises(BadRequest, match="lacks download_size"):
        load(unpinned.format("hf:acme/a", ""))
    with pytest.raises(BadRequest, match="pins no files"):
        load(unpinned.format("https://example.org/a", "download_size = 7"))


def test_a_source_has_the_entrys_files_or_its_own(load):
    hub, web = load(GOOD).get("tiny").sources
    assert [file.name for file in hub.files] == ["tiny.gguf"]
    assert (hub.path_of(hub.files[0]), hub.download_size) == ("tiny.gguf", 10)
    assert [file.name for file in web.files] == ["other.gguf"]
    assert (web.path_of(web.files[0]), web.download_size) == ("small/other.gguf", 7)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("[tiny]", "[tiny", "can't be read"),
        ("[tiny]", "other = 3\n[tiny]", "[other] is not a table"),
        ("[tiny]", '["a/b"]', "not a valid name for a model"),
        ("license", "licence", "[tiny] has an unknown field 'licence'. Did you mean 'license'?"),
        ('license = "MIT"', "", "[tiny] lacks license"),
        ('license = "MIT"', "license = 3", "[tiny].license is 3"),
        ('"own"', '"mine"', 'use "own" or "none"'),
        ("ab" * 32, "AB" * 32, "64 lower-case hexadecimal digits"),
        ("size = 10", 'size = "10"', "must be a number of bytes"),
        ("size = 10", "size = -10", "must be a number of bytes"),
        ('"tiny.gguf"', '"../tiny.gguf"', "not a valid file name"),
        ('"hf:owner/tiny@abc"', '"ftp://owner"', "begins with file:, hf:, https:, llmos:, oci:, pypi:, s3:"),
        ('folder = "small"', 'folder = "/small"', "not a valid file name"),
        ("from =", "form =", "unknown field 'form'. Did you mean 'from'?"),
    ],
)
def test_an_invalid_catalog_is_refused_with_the_field(load, before, after, complaint):
    assert before in GOOD
    with pytest.raises(BadRequest, match=re.escape(complaint)) as caught:
        load(GOOD.replace(before, after))
    assert "catalog.toml" in caught.value.message


def test_an_entry_needs_a_source_and_a_source_needs_files(load):
    head = '[tiny]\ndescription = "d"\nlicense = "MIT"\ntemplate = "none"\n'
    with pytest.raises(BadRequest, match=r"\[tiny\] has no sources"):
        load(head + "sources = []")
    with pytest.raises(BadRequest, match=r"pins no files for https://a/b"):
        load(head + '[[tiny.sources]]\nfrom = "https://a/b"')
    with pytest.raises(BadRequest, match=r"is not a list of tables"):
        load(head + '[tiny.sources]\nfrom = "hf:a/b"')


def test_a_missing_catalog_is_named(tmp_path):
    with pytest.raises(BadRequest, match=r"none\.toml can't be read"):
        Catalog.load(tmp_path / "none.toml")
