"""A card with invented numbers, for tests that read cards."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from llmos.core.schemas.cards import Card, Comparison, LayerError, Layers, Machine, Memory, Quality, Rate, Text

PARENT, CHILD = "sha256:" + "a" * 64, "sha256:" + "b" * 64

CARD = Card(
    version="tiny-gptq4@1",
    digest=CHILD,
    parent="tiny@1",
    parent_digest=PARENT,
    recipe={"kind": "quantize", "scheme": "gptq", "options": {"bits": 4}},
    measured_at=datetime(2026, 3, 3, 12, tzinfo=UTC),
    llmos="0.1.0",
    machine=Machine(cpu="Tiny <CPU> & Sons", isa="avx2", threads=2, memory_bytes=8_000_000_000),
    size_bytes=40_000_000,
    parent_size_bytes=80_000_000,
    parameters=1_000_000,
    parent_parameters=1_000_000,
    quantization="Q4_1",
    text=Text(name="the help of Python 3.11", num_tokens=4092, window=1024),
    quality=Quality(perplexity=21.5, standard_error=0.6),
    comparison=Comparison(
        perplexity=20.0,
        perplexity_increase=0.075,
        standard_error=0.004,
        greedy_agreement=0.91,
        kl_mean=0.05,
        kl_p99=0.4,
        kl_edges=(0.0, 0.01, 0.1, 1.0),
        kl_counts=(3000, 1000, 92),
    ),
    memory=Memory(
        resident_bytes=90_000_000, weight_bytes=40_000_000, kv_bytes=20_000_000, streams=8,
        tokens_per_stream=1024,
    ),
    prefill=Rate(num_tokens=512,
 tokens_per_second=1000.0, runs=(990.0, 1000.0, 1010.0), parent_tokens_per_second=1250.0,
                 parent_runs=(1240.0, 1250.0, 1260.0), ratio=0.8),
    decode=Rate(num_tokens=128,
 tokens_per_second=150.0, runs=(149.0, 150.0, 151.0), parent_tokens_per_second=120.0,
                parent_runs=(119.0, 120.0, 121.0), ratio=1.25),
    layers=Layers(
        errors=(
            LayerError(layer=0, parent_layer=0, weights=0.05, hidden=0.02),
            LayerError(layer=1, parent_layer=2, weights=None, hidden=0.04),
        ),
        embedding=0.004, parent_layers=3,
        left_out=(1,),
    ),
)  # fmt: skip


def card(**changes: Any) -> Card:
    return msgspec.structs.replace(CARD, **changes)
