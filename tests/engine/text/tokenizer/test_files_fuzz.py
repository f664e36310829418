"""However tokenizer.json is damaged, the result is a tokenizer or a clear error."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from llmos.core.errors import LLMOSError
from llmos.engine.text.tokenizer import Tokenizer
from support.examples import examples


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """A tokenizer.json that uses every kind of component."""
    vocabulary = {"a": 0, "b": 1, "ab": 2, " ": 3, "▁": 4, "<s>": 5, "<0x41>": 6}
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("a", "b")], unk_token="<s>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("a+|b"), "isolated"),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 5)])
    backend.add_special_tokens([AddedToken("<s>", special=True)])
    parsed: dict[str, Any] = json.loads(backend.to_str())
    return parsed


def paths_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if above:
        yield above
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths_in(value[key], (*above, key))


NASTY = [
    None, 0, 1, -1, 2**31, 2**32, 2**63, 1.5, True, False, "", "a", "x", "▁", "<s>", [], {}, ["a", "b"], {"a": 0},
    {"type": "ByteLevel"}, {"String": " "}, {"Regex": "("}, {"Regex": "(a|a)*$"}, {"type": "CTC"}, {"type": "Truncate"},
    {"type": "Strip", "content": " ", "start": 10, "stop": 10}, {"type": "Sequence", "decoders": []}, "always", "never",
]  # fmt: skip


def test_a_damaged_tokenizer_works_or_is_a_clear_error(content: dict[str, Any], tmp_path: Path, capfd):
    everywhere = list(paths_in(content))
    change = st.tuples(st.sampled_from(everywhere), st.sampled_from(NASTY), st.booleans())

    @settings(deadline=None, max_examples=examples(500), suppress_health_check=list(HealthCheck))
    @given(st.lists(change, min_size=1, max_size=3))
    def check(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
        damaged = copy.deepcopy(content)
        for (*above, key), value, is_drop in changes:
            inside: Any = damaged
            try:
                for step in above:
                    inside = inside[step]
                if is_drop:
                    del inside[key]
                else:
                    inside[key] = copy.deepcopy(value)
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change removed this path
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(damaged))
        try:
            tokenizer = Tokenizer.from_files({"tokenizer.json": path})
            tokenizer.decode(tokenizer.encode("ab aab 人 <s> 12"))
        except LLMOSError:
            pass

    check()
    capfd.readouterr()  # Rust tells stderr where it gave up
