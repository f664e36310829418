"""The common parts of Gemma 3n and Gemma 4: embeddings of each layer's own, and layers that share keys and values."""

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.spec import DecoderSpec

LAYER_INPUT_HF_NAMES = {
    "layer_embed": "model.embed_tokens_per_layer",
    "layer_embed_projection": "model.per_layer_model_projection",
    "layer_embed_norm": "model.per_layer_projection_norm",
    "input_gate": "model.layers.{i}.per_layer_input_gate",
    "input_projection": "model.layers.{i}.per_layer_projection",
    "input_norm": "model.layers.{i}.post_per_layer_input_norm",
}
LAYER_INPUT_GGUF_NAMES = {
    "layer_embed": "per_layer_token_embd",
    "layer_embed_projection": "per_layer_model_proj",
    "layer_embed_norm": "per_layer_proj_norm",
    "input_gate": "blk.{i}.inp_gate",
    "input_projection": "blk.{i}.proj",
    "input_norm": "blk.{i}.post_norm",
}


def check_shared_layers(spec: DecoderSpec) -> DecoderSpec:
    """Return the spec. Raises BadModelFile if a layer shares the keys of a kind of layer that has none before it."""
    kinds = [spec.window_of(i) is not None for i in range(spec.num_layers)]
    first = spec.num_layers - spec.shared_kv_layers
    if not set(kinds[first:]) <= set(kinds[:first]):
        raise BadModelFile(
            f"The last {spec.shared_kv_layers} of {spec.num_layers} layers share the keys of earlier layers with the"
            " same window, but there are none."
        )
    return limits.validated(spec)


def keys_of_shared_layers(spec: DecoderSpec) -> set[str]:
    """Return tensors that GGUF files may have of layers that share the keys of others, and that are never used."""
    first = spec.num_layers - spec.shared_kv_layers
    parts = ("attn_k", "attn_v", "attn_k_norm")
    return {f"blk.{i}.{part}.weight" for i in range(first, spec.num_layers) for part in parts}
