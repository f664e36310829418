"""Model files -> named tensors, memory-mapped, and back.

Every file is treated as hostile: an invalid one is a clear error, never a crash, a hang or a large allocation.

    gguf.py                 GGUF versions 2 and 3: metadata and tensors in one file (gguf_header.py reads the header)
    gguf_writer.py          writes GGUF version 3
    safetensors.py          a Hugging Face folder: config.json and *.safetensors
    safetensors_writer.py   writes one safetensors file
    encoded.py              tensors in an encoding of ours (encodings.py, sparse.py, bits.py) inside these files
    dequantize.py           a tensor of any type -> float32
    pickles.py              why pickled checkpoints are rejected
"""
