"""Quantize a GGUF file to another type: python prepare_llama_cpp.py MODEL.gguf Q4_0 OUT.gguf

The embedding, which is the head too, gets 8 bits, as it has in the published Q4_1 file; in Q4_K_M it is what llama.cpp
makes of it, as in the files that people have.
"""

import ctypes
import sys

import llama_cpp as ll

FILE_TYPES = {
    "Q4_0": ll.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_1": ll.LLAMA_FTYPE_MOSTLY_Q4_1,
    "Q8_0": ll.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_K_M": ll.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}
path, kind, out = sys.argv[1:4]
params = ll.llama_model_quantize_default_params()
params.ftype, params.allow_requantize = FILE_TYPES[kind], True
if kind != "Q4_K_M":
    params.output_tensor_type = params.token_embedding_type = ll.GGML_TYPE_Q8_0
if ll.llama_model_quantize(path.encode(), out.encode(), ctypes.byref(params)):
    raise SystemExit(f"llama.cpp can't make {kind} of {path}.")
