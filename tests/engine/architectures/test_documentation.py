"""The code in docs/add-a-model-family.md works: these tests run it."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from llmos.engine import architectures
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.formats.dequantize import dequantize
from support import tiny_models
from support.tiny_models import make_tiny_model, write_gguf

PAGE = Path(__file__).parents[3] / "docs" / "add-a-model-family.md"


@pytest.fixture
def starcoder2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny_models.TinyModel:
    """The result of steps 2 and 3 of the page: the family's file in the package, and a tiny model of it."""
    family, case = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    package = tmp_path / "architectures"
    package.mkdir()
    (package / "starcoder2.py").write_text(family)
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(package)])
    monkeypatch.setattr(architectures, "starcoder2", None, raising=False)
    monkeypatch.delitem(sys.modules, "llmos.engine.architectures.starcoder2", raising=False)
    for name, values in eval(f"{{{case}}}", {"COMMON": tiny_models.COMMON}).items():
        monkeypatch.setitem(tiny_models.CASES, name, values)
    yield make_tiny_model("starcoder2", tmp_path / "model")
    sys.modules.pop("llmos.engine.architectures.starcoder2", None)


def test_the_family_of_the_page_computes_the_same_as_transformers(starcoder2, drive):
    prompt = starcoder2.prompt(45)
    checkpoint = starcoder2.open()
    spec = checkpoint.spec
    assert (spec.norm, spec.gated, spec.qkv_bias, spec.sliding_window, spec.tied_head) == (
        "layernorm", False, True, 21, True,
    )  # fmt: skip
    logits_LV = drive(checkpoint).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits_LV, starcoder2.logits(prompt), rtol=1e-3, atol=1e-4)
    assert drive(checkpoint).greedy(prompt, 32) == starcoder2.greedy(prompt, 32)


def test_a_gguf_file_of_the_pages_family_has_the_same_tensors(starcoder2, tmp_path):
    from_folder = starcoder2.open()
    from_gguf = open_checkpoint({"x.gguf": write_gguf(starcoder2, tmp_path / "x.gguf")})
    assert from_gguf.spec.tensor_shapes() == from_folder.spec.tensor_shapes()
    for name in from_folder.tensors:
        assert np.array_equal(dequantize(from_gguf.tensors[name]), dequantize(from_folder.tensors[name])), name
