"""Convert a llama GGUF file to a Hugging Face folder in bf16: python prepare_openvino.py MODEL.gguf FOLDER

The weights are the file's own, dequantized, so that every engine runs the same model.
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

path, out = sys.argv[1:3]
folder, name = os.path.split(os.path.abspath(path))
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
weights = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
save_file(weights, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
config = model.config.to_dict()
config.pop("quantization_config", None)
config |= {"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
with open(os.path.join(out, "config.json"), "w") as file:
    json.dump(config, file, indent=1)
model.generation_config.save_pretrained(out)
