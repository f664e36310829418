"""Tiny rerankers with random weights, made by transformers, and the scores that transformers gives."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from support.tiny_encoders import CASES, DECODER_CASES, VOCABULARY, randomize

torch.set_num_threads(1)

QUERY = "river stone"
DOCUMENTS = [
    "a stream of water.",
    "stones fall",
    "the river",
    "b c b c b c b c, a river of water falls! the stone " * 2,
]

PAIRS = {
    "bert": "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
    "roberta": "[CLS]:0 $A:0 [SEP]:0 [SEP]:0 $B:0 [SEP]:0",
}
CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    **CASES,
    "xlm-roberta": ("xlm-roberta", CASES["xlm-roberta"][1] | {"pad_token_id": 0}),
    "modernbert": DECODER_CASES["modernbert"],
    "modernbert-mean": (
        "modernbert",
        DECODER_CASES["modernbert-biases"][1]
        | {"classifier_pooling": "mean", "classifier_bias": True, "classifier_activation": "silu"},
    ),
}
"""Classifiers with one label."""

CHAT_WORDS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
TOKENS = {"yes": 301, "no": 302}


@dataclass(frozen=True)
class TinyReranker:
    reference: transformers.PreTrainedModel
    folder: Path

    def files(self) -> dict[str, Path]:
        return {str(path.relative_to(self.folder)): path for path in self.folder.rglob("*") if path.is_file()}

    def write(self, name: str, **values: Any) -> None:
        """Set values in a JSON file of the folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))

    @torch.inference_mode()
    def logit(self, query: str, document: str) -> float:
        """Return transformers' score of a pair that is packed as the tokenizer's file says."""
        backend = tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        backend.no_truncation()
        encoding = backend.encode(query, document)
        options = {"attention_mask": torch.ones(1, len(encoding.ids), dtype=torch.long)}
        if getattr(self.reference.config, "type_vocab_size", 0) > 1:
            options["token_type_ids"] = torch.tensor([encoding.type_ids])
        return self.reference(torch.tensor([encoding.ids]), **options).logits[0, 0].item()


def make_tiny_reranker(case: str, folder: Path, *, num_labels: int = 1) -> TinyReranker:
    """Write a classifier."""
    model_type, values = CLASSIFIERS[case]
    torch.manual_seed(sum(case.encode()))
    config = transformers.AutoConfig.for_model(model_type, **values, num_labels=num_labels)
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    randomize(model)
    model.save_pretrained(folder)
    write_pair_tokenizer(folder, PAIRS["roberta" if "roberta" in case else "bert"])
    return TinyReranker(model, folder)


def make_tiny_qwen3_reranker(folder: Path, *, tied: bool = True, classifier: bool = False) -> TinyReranker:
    """Write a Qwen3 that answers yes or no, or its conversion to a classifier."""
    torch.manual_seed(5)
    config = transformers.Qwen3Config(
        vocab_size=303, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=20, max_position_embeddings=600, tie_word_embeddings=tied, pad_token_id=0,
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config).eval()
    randomize(model)
    if classifier:
        causal, config.num_labels = model, 1
        model = transformers.Qwen3ForSequenceClassification(config).eval()
        model.model.load_state_dict(causal.model.state_dict())
        rows = causal.lm_head.weight[[TOKENS["yes"], TOKENS["no"]]]
        model.score.weight.data = (rows[0] - rows[1])[None].clone()
    model.save_pretrained(folder)
    _write_byte_tokenizer(folder)
    return TinyReranker(model, folder)


def write_pair_tokenizer(folder: Path, pair: str) -> None:
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.decoder = tokenizers.decoders.WordPiece()
    backend.add_special_tokens(VOCABULARY[:5])
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    backend.enable_truncation(16)  # as the files of many models do
    backend.save(str(folder / "tokenizer.json"))


def _write_byte_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer with the control tokens of Qwen 3 and the words yes and no."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("y", "e"), ("ye", "s"), ("n", "o")]
    words = [*letters, *CHAT_WORDS, "ye", *(f"unused{i}" for i in range(301 - len(letters) - 5)), "yes", "no"]
    ids = {word: i for i, word in enumerate(words)}
    assert {word: ids[word] for word in TOKENS} == TOKENS
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=ids, merges=merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(CHAT_WORDS[:2])
    backend.add_tokens([tokenizers.AddedToken(word, special=False, normalized=False) for word in CHAT_WORDS[2:]])
    backend.save(str(folder / "tokenizer.json"))
    chat = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": chat, "eos_token": "<|im_end|>"}))
