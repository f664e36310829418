"""Models whose tokenizer or chat template can't be used: what is said at import, and what may lead to them."""

import json

import pytest

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.routing.route import RouteSettings
from llmos.deployments.routing.routes import Routes
from llmos.models.transfer.transfers import Transfers
from support.tiny_gguf import write_gguf

pytestmark = pytest.mark.process


@pytest.fixture
def unknown(tmp_path):
    """A GGUF file whose pre-tokenizer nobody knows."""
    return write_gguf(tmp_path / "unknown.gguf", pre_tokenizer="unheard-of")


def test_a_model_with_an_unknown_pre_tokenizer_is_stored_and_says_that_it_does_not_run(registry, unknown):
    version = Transfers(registry).import_path(unknown, "odd")
    assert "pre-tokenizer is 'unheard-of'" in registry.show(version.ref).unsupported


def test_nothing_leads_to_a_model_that_does_not_run(registry, unknown, gguf_path):
    Transfers(registry).import_path(unknown, "odd")
    Transfers(registry).import_path(gguf_path, "tiny")
    routes = Routes(registry)
    for target, settings in (("odd", None), ("tiny", RouteSettings(fallbacks=["odd@1"]))):
        with pytest.raises(UnsupportedModel, match=r"odd@1 can't run: .*unheard-of"):
            routes.set("chat", target, settings, actor="ada")
    routes.set("chat", "tiny", actor="ada")
    with pytest.raises(UnsupportedModel, match="odd@1 can't run"):
        routes.set_weights("chat", {"odd": 100}, "because", actor="ada")
    with pytest.raises(UnsupportedModel, match="odd@1 can't run"):
        Deployments(registry.database, registry).deploy("odd", actor="ada")
    with pytest.raises(UnsupportedModel, match="odd@1 can't run"):
        registry.aliases.set("odd", "prod", "odd@1")
    with pytest.raises(UnsupportedModel, match=r"calls to tiny would move from tiny@1 to it"):
        Transfers(registry).import_path(unknown, "tiny")
    assert routes.resolve_local("chat").ref == "tiny@1"


def test_a_folder_without_a_tokenizer_is_stored_and_says_so(registry, make_folder):
    folder = make_folder()
    (folder / "tokenizer.json").unlink()
    version = Transfers(registry).import_path(folder, "mute")
    assert "tokenizer.json is missing" in registry.show(version.ref).unsupported


def test_a_damaged_tokenizer_is_refused_before_anything_is_stored(registry, make_folder):
    folder = make_folder()
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BadModelFile, match=r"tokenizer\.json cannot be read"):
        Transfers(registry).import_path(folder, "broken")
    assert (registry.list(), list(registry.store.digests())) == ([], [])


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for %}", "cannot be used"),
        ("{{ raise_exception('No.') }}", "rejects these messages: No."),
        ("{{ messages[0].content.parts[3] }}", "'str object' has no attribute 'parts'. Such"),
    ],
)
def test_a_chat_template_that_can_not_be_used_is_a_warning(registry, make_folder, template, reason):
    folder = make_folder()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    details = registry.show(Transfers(registry).import_path(folder, "quiet").ref)
    assert details.unsupported is None
    (warning,) = details.warnings
    assert reason in warning
    assert "plain prompts work" in warning
