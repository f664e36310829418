"""The engines that are compared, each as the command that runs it on one form of a model."""

from dataclasses import dataclass
from pathlib import Path

from environments import Environments
from forms import Model
from isa_paths import BITS, FORMAT, ISA_PATHS

from llmos.core.hardware import inspect_hardware

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
        ("LLMOS Q4_1", "llmos", "run_llmos.py", model.gguf("Q4_1")),
        ("LLMOS Q4_0", "llmos", "run_llmos.py", model.gguf("Q4_0")),
        ("LLMOS Q8_0", "llmos", "run_llmos.py", model.gguf("Q8_0")),
        ("LLMOS Q4_K_M", "llmos", "run_llmos.py", model.gguf("Q4_K_M")),
        ("llama.cpp Q4_1", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_1")),
        ("llama.cpp Q4_0", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_0")),
        ("llama.cpp Q8_0", "llama_cpp", "run_llama_cpp.py", model.gguf("Q8_0")),
        ("llama.cpp Q4_K_M", "llama_cpp", "run_llama_cpp.py", model.gguf("Q4_K_M")),
        ("OpenVINO int8", "openvino", "run_openvino.py", model.openvino("int8")),
        ("OpenVINO int4", "openvino", "run_openvino.py", model.openvino("int4")),
        ("vLLM bf16", "vllm", "run_vllm.py", model.hf),
    ]
    return [
        engine(name, getattr(environments, environment), script, path, threads)
        for name, environment, script, path in forms
        if not any(word.lower() in name.lower() for word in without)
    ]


def path_engines(model: Model, environments: Environments, threads: int, without: tuple[str, ...] = ()) -> list[Engine]:
    """Return ours and OpenVINO, held to each lesser instruction set that this CPU has."""
    supported = inspect_hardware().isas
    found: list[Engine] = []
    for path in (each for each in ISA_PATHS if each.isa in supported):
        ours = (environments.llmos, "run_llmos.py", model.gguf(FORMAT), threads, "--isa", path.isa)
        found.append(engine(path.ours, *ours))
        for name, bits in zip(path.peers, BITS, strict=True):
            theirs = (environments.openvino, "run_openvino.py", model.openvino(bits), threads)
            found.append(engine(name, *theirs, "--max-isa", path.onednn))
    return [each for each in found if not any(word.lower() in each.name.lower() for word in without)]


def engine(name: str, python: Path, script: str, model: Path, threads: int, *options: str | int) -> Engine:
    command = (python, HERE / script, model, "--threads", threads, *options)
    return Engine(name, tuple(map(str, command)), is_ours=script == "run_llmos.py")
