"""A family is found by its file name, and a name from a model's file can import nothing else."""

import pytest

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import families, family_of_gguf, family_of_model_type


def test_every_file_of_the_package_is_a_family():
    assert {"llama", "mistral", "qwen2", "qwen3", "gpt2"} <= set(families())
    for name in families():
        assert family_of_model_type(name).spec_from_config


def test_a_family_is_found_by_its_gguf_architecture():
    assert family_of_gguf("qwen2") is family_of_model_type("qwen2")


def test_no_two_families_have_the_same_gguf_architecture():
    claimed = [family_of_model_type(name).GGUF_ARCHITECTURE for name in families()]
    claimed = [name for name in claimed if name is not None]
    assert len(claimed) == len(set(claimed))


@pytest.mark.parametrize("find", [family_of_model_type, family_of_gguf])
def test_the_error_for_an_unknown_model_names_its_type_and_all_families(find):
    with pytest.raises(UnsupportedModel, match="This model has the type t5; this engine runs") as refused:
        find("t5")
    assert all(name in refused.value.message for name in families())


@pytest.mark.parametrize("find", [family_of_model_type, family_of_gguf])
@pytest.mark.parametrize(
    "name", ["_config", "__init__", "os", "..llama", "llama.x", "", None, 3, ["llama"], "x" * 10**6]
)
def test_a_malicious_name_imports_nothing(find, name):
    with pytest.raises(UnsupportedModel) as refused:
        find(name)
    assert len(refused.value.message) < 800
