"""The part of a question that an embedding model can read, by the real tokenizer of minilm."""

from pathlib import Path
from typing import cast

import pytest

from llmos.core.config import load_settings
from llmos.gateway.question_reader import QuestionReader
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version
from support.minilm import pull_minilm
from support.scripted import MINILM, FakeRegistry

pytestmark = pytest.mark.process


def test_minilm_reads_english_with_an_emoji_but_hardly_any_chinese(tmp_path: Path, shared_folder: Path) -> None:
    pull_minilm(tmp_path, shared_folder)
    registry, reader = open_registry(load_settings({"LLMOS_HOME": str(tmp_path)})), QuestionReader()
    minilm = registry.resolve("minilm")
    assert reader.unknown_share(registry, minilm, "HOW LONG is the guarantee?") == 0
    assert 0 < reader.unknown_share(registry, minilm, "How long is the guarantee? 🙂") < 1 / 3
    assert reader.unknown_share(registry, minilm, "保修期多长？电池包括在内吗？") > 1 / 3


def test_a_tokenizer_that_cannot_be_read_counts_nothing_as_unknown() -> None:
    registry, version = cast("Registry", FakeRegistry()), cast("Version", MINILM)
    assert QuestionReader().unknown_share(registry, version, "保修期") == 0
