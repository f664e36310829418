"""Weights of Hugging Face folders that a quantizer has compressed (quantization_config): FP8, GPTQ, AWQ, MXFP4
and compressed-tensors.

tensors.py finds the compressed matrices among the tensors and replaces them by decompressed ones; each method reads its
own arrays (gptq.py, awq.py, packed.py, float8.py, mxfp4.py); grid.py turns integers with scales and zero points into
blocks.
"""

from llmos.engine.checkpoint.compressed.tensors import KEYS, decompress

__all__ = ["KEYS", "decompress"]
