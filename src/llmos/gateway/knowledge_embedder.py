"""ModelEmbedder: the embedder of a version of a model. Counts tokens in this process; sends texts to a pipeline."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from llmos.core.errors import UnsupportedModel
from llmos.data.knowledge.embedder import OpenEmbedder, Role
from llmos.engine.messages import Embed
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from llmos.engine.encoder_spec import EncoderSpec
    from llmos.engine.text.tokenizer import Tokenizer

Send = Callable[[TextsToEmbed], "Future[Vectors]"]
"""Begin to embed texts by a pipeline."""


def embedder_opener(registry: Registry, send: Send) -> OpenEmbedder:
    """Return what opens embedders by the references of models."""

    def open_embedder(ref: str) -> ModelEmbedder:
        version = check_embeds(registry, ref)
        return ModelEmbedder(registry, version, send)

    return open_embedder


def check_embeds(registry: Registry, ref: str) -> Version:
    """Return the version of a reference. Raises ModelNotFound, and UnsupportedModel for one that makes no vectors."""
    version = registry.resolve(ref)
    registry.check_runs(version, param="embedding")
    if registry.runnability(version).task != "embed":
        raise UnsupportedModel(
            f"{version.ref} makes no vectors of texts. {_advice(registry)}",
            param="embedding",
        )
    return version


class ModelEmbedder:
    """See llmos.data.knowledge.embedder.Embedder."""

    def __init__(self, registry: Registry, version: Version, send: Send) -> None:
        from llmos.engine.checkpoint.checkpoint import open_checkpoint
        from llmos.engine.encoder_spec import EncoderSpec
        from llmos.engine.text.tokenizer.token_counter import TokenCounter

        checkpoint = open_checkpoint(registry.loadable(version).files)
        assert isinstance(checkpoint.spec, EncoderSpec), "its task is to embed"
        self.ref, self.digest = version.ref, version.digest
        self._send, self._count, self._lowercase = send, TokenCounter(checkpoint.tokenizer), checkpoint.spec.lowercase
        self._tokenizer = checkpoint.tokenizer
        self.max_tokens = _room(checkpoint.tokenizer, checkpoint.spec)

    def count_tokens(self, text: str) -> int:
        return self._count(text.lower() if self._lowercase else text)

    def unknown_share(self, text: str) -> float:
        return self._tokenizer.unknown_share(text.lower() if self._lowercase else text)

    def embed(self, texts: Sequence[str], role: Role) -> "Future[Vectors]":
        return self._send(TextsToEmbed(model=self.ref, digest=self.digest, texts=list(texts), role=role))


def _room(tokenizer: "Tokenizer", spec: "EncoderSpec") -> int:
    """Return the tokens that a text may have beside control tokens and the model's prompt for documents."""
    from llmos.engine.embedding_request import default_prompt

    before, behind = tokenizer.affixes
    name = default_prompt(Embed(id="", role="document"), spec)
    prompt = "" if name is None else spec.prompts.get(name, "")
    num_prompt_tokens = len(tokenizer.encode(prompt, add_bos=False)) if prompt else 0
    return spec.max_positions - len(before) - len(behind) - num_prompt_tokens


def _advice(registry: Registry) -> str:
    """Return which models make vectors."""
    known = [each.ref for each in registry.list() if registry.runnability(each).task == "embed"]
    return f"These do: {', '.join(known)}." if known else "To get one that does: llmos pull minilm"
