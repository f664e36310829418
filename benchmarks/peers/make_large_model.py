"""Make a llama of 1.2 billion random parameters: python make_large_model.py TOKENIZER_OF.gguf OUT.gguf

The tokenizer is the other file's. Every tensor is drawn from a generator of its own, seeded by its name, so the file is
the same on every machine. Deviations are those that such models are trained from, so activations stay near one.
"""

import os
import sys
import zlib

import gguf
import numpy as np

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE = 24, 2048, 32, 8, 64, 5632
CONTEXT, ROPE_THETA, EPSILON = 8192, 100_000.0, 1e-5
DEVIATION = 0.02
DEVIATION_INTO_RESIDUAL = DEVIATION / (2 * LAYERS) ** 0.5
"""Scale of the two matrices of a layer that add to the residual stream, so that its variance doesn't grow."""

MATRICES = {
    "attn_q": (HEADS * HEAD_DIM, HIDDEN),
    "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
    "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
    "attn_output": (HIDDEN, HEADS * HEAD_DIM),
    "ffn_gate": (INTERMEDIATE, HIDDEN),
    "ffn_up": (INTERMEDIATE, HIDDEN),
    "ffn_down": (HIDDEN, INTERMEDIATE),
}


def main() -> None:
    tokenizer, out = sys.argv[1:3]
    half_made = f"{out}.part"
    writer = gguf.GGUFWriter(half_made, "llama", use_temp_file=True)
    vocab_size = copy_tokenizer(tokenizer, writer)
    writer.add_name("Random llama 1.2B")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(vocab_size)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_layer_norm_rms_eps(EPSILON)

    writer.add_tensor("token_embd.weight", random_matrix("token_embd.weight", (vocab_size, HIDDEN)))
    for i in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{norm}.weight", np.ones(HIDDEN, np.float32))
        for name, shape in MATRICES.items():
            writer.add_tensor(f"blk.{i}.{name}.weight", random_matrix(f"blk.{i}.{name}.weight", shape))
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(half_made, out)


def copy_tokenizer(path: str, writer: gguf.GGUFWriter) -> int:
    """Copy every tokenizer field of another file to the writer; return the size of the vocabulary."""
    reader = gguf.GGUFReader(path)
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=element)
    return len(reader.fields["tokenizer.ggml.tokens"].data)


def random_matrix(name: str, shape: tuple[int, int]) -> np.ndarray:
    into_residual = "attn_output" in name or "ffn_down" in name
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return (rng.standard_normal(shape, np.float32) * (DEVIATION_INTO_RESIDUAL if into_residual else DEVIATION)).astype(
        np.float16
    )


main()
