"""Tiny encoders of every family with random weights, made by transformers, as folders of sentence-transformers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers

# For such small matrices a second thread is slower, on a busy machine by a factor of twenty.
torch.set_num_threads(1)

WORDS = ["river", "stream", "water", "stone", "##s", "##ing", "fall", "a", "the", "of", "b", "c", ".", ",", "!"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]

_COMMON: dict[str, Any] = {
    "vocab_size": 131,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 200,
}
_DISTILBERT: dict[str, Any] = {
    "vocab_size": 131, "dim": 48, "hidden_dim": 80, "n_layers": 2, "n_heads": 6, "max_position_embeddings": 200,
}  # fmt: skip

# No size is a multiple of a kernel's width, except heads of 32, which the kernels quantize as they compute them.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", _COMMON),
    "bert-heads-of-32": ("bert", _COMMON | {"hidden_size": 64, "num_attention_heads": 2, "hidden_act": "gelu_new"}),
    "roberta": ("roberta", _COMMON | {"type_vocab_size": 1, "pad_token_id": 1}),
    "xlm-roberta": ("xlm-roberta", _COMMON | {"type_vocab_size": 1, "pad_token_id": 5}),
    "distilbert": ("distilbert", _DISTILBERT),
}
_ROTATED: dict[str, Any] = _COMMON | {"num_hidden_layers": 4, "pad_token_id": 0}
DECODER_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "modernbert": ("modernbert", _ROTATED | {"local_attention": 10, "cls_token_id": 2, "sep_token_id": 3}),
    "modernbert-biases": (
        "modernbert",
        _ROTATED | {"local_attention": 10, "norm_bias": True, "attention_bias": True, "mlp_bias": True},
    ),
    "nomic_bert": ("nomic_bert", _ROTATED),
    "qwen3": ("qwen3", _ROTATED | {"num_key_value_heads": 2, "head_dim": 20}),
}
"""Models whose layers are those of a decoder."""

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@dataclass(frozen=True)
class TinyEncoder:
    reference: transformers.PreTrainedModel
    folder: Path

    @property
    def vocab_size(self) -> int:
        return self.reference.config.vocab_size

    def files(self) -> dict[str, Path]:
        return {str(path.relative_to(self.folder)): path for path in self.folder.rglob("*") if path.is_file()}

    def tokens(self, length: int, seed: int = 0) -> list[int]:
        return np.random.default_rng(seed).integers(6, self.vocab_size, length).tolist()

    @torch.inference_mode()
    def pooled(self, tokens: Sequence[int], pooling: str = "mean") -> np.ndarray:
        """Return transformers' vector of a text."""
        hidden_LH = self.reference(torch.tensor([tokens]), attention_mask=torch.ones(1, len(tokens))).last_hidden_state[
            0
        ]
        return {"cls": hidden_LH[0], "last": hidden_LH[-1], "mean": hidden_LH.mean(0)}[pooling].numpy()


def make_tiny_encoder(case: str, folder: Path, *, pooling: str = "mean") -> TinyEncoder:
    model_type, values = (CASES | DECODER_CASES)[case]
    torch.manual_seed(sum(case.encode()))
    config = transformers.AutoConfig.for_model(model_type, **values)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    randomize(model)
    model.save_pretrained(folder)
    _write_tokenizer(folder)
    (folder / "modules.json").write_text(json.dumps(MODULES))
    (folder / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{mode}": mode == wanted for mode, wanted in
             [("mean_tokens", f"{pooling}_tokens"), ("cls_token", f"{pooling}_token"),
              ("lasttoken", f"{pooling}token")]}  # fmt: skip
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    return TinyEncoder(model, folder)


def randomize(model: torch.nn.Module) -> None:
    """Set every weight. Biases and norms are initialized with 0 and 1, so that a missing one would not be noticed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(is_norm + torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.15))


def _write_tokenizer(folder: Path) -> None:
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.decoder = tokenizers.decoders.WordPiece()
    backend.add_special_tokens(VOCABULARY[:5])
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    backend.enable_truncation(16)  # as the files of many models do
    backend.save(str(folder / "tokenizer.json"))
