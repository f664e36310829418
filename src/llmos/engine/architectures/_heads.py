"""Refuses models whose head makes something else than the next token or a vector, such as classes or a reward."""

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields

_KNOWN = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_KNOWN_OF_ENCODERS = ("ForMaskedLM", "ForPreTraining", "ForNextSentencePrediction", "ForCausalLM", "LMHeadModel")
"""The last parts of the names of classes whose heads make text, or are left out of an encoder."""


def check_head(fields: Fields, *, is_encoder: bool = False) -> None:
    """Raise UnsupportedModel if `architectures` names a class whose head this engine would leave out."""
    names = fields.get("architectures")
    known = _KNOWN_OF_ENCODERS if is_encoder else _KNOWN
    for name in names if isinstance(names, list) else []:
        # "LlamaModel" has no head, "LlamaForRewardModel" one of its own.
        is_bare = str(name).endswith("Model") and "For" not in str(name)
        if not (is_bare or str(name).endswith(known)):
            use = "embeddings" if is_encoder else "text"
            raise limits.unsupported(f"the head of a {str(name)[:64]} instead of one for {use}")
