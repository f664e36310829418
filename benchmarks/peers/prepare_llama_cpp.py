"""Make Q4_0 and Q8_0 of a GGUF file: python prepare_llama_cpp.py MODEL.gguf FOLDER"""

import ctypes
import sys

import llama_cpp as ll

path, folder = sys.argv[1:3]
for name, file_type in (("Q4_0", ll.LLAMA_FTYPE_MOSTLY_Q4_0), ("Q8_0", ll.LLAMA_FTYPE_MOSTLY_Q8_0)):
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = file_type, True
    if ll.llama_model_quantize(path.encode(), f"{folder}/{name}.gguf".encode(), ctypes.byref(params)):
        raise SystemExit(f"llama.cpp can't make {name} of {path}.")
