"""The engines that are compared, each as the command that runs it on one form of a model."""

from dataclasses import dataclass
from pathlib import Path

from environments import Environments
from forms import Model

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Engine:
    name: str
    command: tuple[str, ...]
    """The command; it speaks protocol.py on its standard streams."""
    is_ours: bool = False


def engines_for(model: Model, environments: Environments, threads: int, without: tuple[str, ...] = ()) -> list[Engine]:
    """Return every engine on this model, except those whose name contains a word of `without`."""
    forms = [
        ("LLMOS Q4_1", "llmos", "run_llmos.py", model.gguf("Q4_1"), ()),
        ("LLMOS Q4_0", "llmos", "run_llmos.py", model.gguf("Q4_0"), ()),
        ("LLMOS Q8_0", "llmos", "run_llmos.py", model.gguf("Q8_0"), ()),
        ("LLMOS Q4_K_M", "llmos", "run_llmos.py", model.gguf("Q4_K_M"), ()),
        ("LLMOS Q4_1 on AVX2", "llmos", "run_llmos.py", model.gguf("Q4_1"), ("--isa", "avx2")),
        ("llama.cpp Q4_1", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_1"), ()),
        ("llama.cpp Q4_0", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_0"), ()),
        ("llama.cpp Q8_0", "llama_cpp", "run_llama_cpp.py", model.gguf("Q8_0"), ()),
        ("llama.cpp Q4_K_M", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_K_M"), ()),
        ("OpenVINO int8", "openvino", "run_openvino.py", model.openvino("int8"), ()),
        ("OpenVINO int4", "openvino", "run_openvino.py", model.openvino("int4"), ()),
        ("vLLM bf16", "vllm", "run_vllm.py", model.hf, ()),
    ]
    return [
        engine(name, getattr(environments, environment), script, path, threads, *options)
        for name, environment, script, path, options in forms
        if not any(word.lower() in name.lower() for word in without)
    ]


def engine(name: str, python: Path, script: str, model: Path, threads: int, *options: str | int) -> Engine:
    command = (python, HERE / script, model, "--threads", threads, *options)
    return Engine(name, tuple(map(str, command)), is_ours=script == "run_llmos.py")
