"""Model files -> named tensors, memory-mapped. Every file is treated as hostile: a bad one is a clear error, never a
crash, a hang or a large allocation.

    gguf.py          GGUF v2 and v3: metadata and tensors in one file
    gguf_writer.py   the way back, into version 3
    safetensors.py   a Hugging Face folder: config.json and *.safetensors
    pickles.py       why the other kind of checkpoint is refused
    dequantize.py    a RawTensor of any dtype -> float32
"""
