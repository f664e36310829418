"""The models in every format that the engines need, made once under build/peers."""

import sys
from dataclasses import dataclass
from pathlib import Path

from environments import PLACE, Environments, run
from results import Shape

from llmos.core.config import load_settings
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers

HERE = Path(__file__).parent
GGUF_KINDS = ("Q4_1", "Q4_0", "Q8_0", "Q4_K_M")


@dataclass(frozen=True)
class Model:
    """A folder with one model in several formats, all made from the same weights."""

    title: str
    folder: Path

    def gguf(self, kind: str) -> Path:
        return self.folder / f"{kind}.gguf"

    @property
    def hf(self) -> Path:
        """Return the model as a Hugging Face folder in bf16."""
        return self.folder / "hf"

    def openvino(self, bits: str) -> Path:
        return self.folder / f"openvino_{bits}"

    def shape(self) -> Shape:
        path = self.gguf("Q8_0")
        spec = open_checkpoint({path.name: path}).spec
        shapes = spec.tensor_shapes()
        matrices = {name: shape[0] * shape[1] for name, shape in shapes.items() if len(shape) == 2}
        layers = sum(size for name, size in matrices.items() if name.startswith("layers."))
        return Shape(layers=layers, head=matrices["embed.weight"], is_tied=spec.tied_head)


def small_model(environments: Environments) -> Model:
    """Return SmolLM2-135M-Instruct in Q4_1, as published; the other formats are made from its values."""
    registry = open_registry(load_settings())
    version = Transfers(registry).pull_from_catalog("smollm2")
    blob = next(path for name, path in registry.files(version).items() if name.endswith(".gguf"))
    model = Model("SmolLM2-135M-Instruct", PLACE / "models")
    model.folder.mkdir(parents=True, exist_ok=True)
    gguf = model.gguf("Q4_1")
    if gguf.resolve() != blob.resolve():
        gguf.unlink(missing_ok=True)
        gguf.symlink_to(blob)
    make_forms(model, gguf, environments)
    return model


def large_model(environments: Environments) -> Model:
    """Return a model of the same family, about ten times as large, with random weights."""
    model = Model("A llama of 1.2 billion random parameters", PLACE / "large")
    model.folder.mkdir(parents=True, exist_ok=True)
    source = model.gguf("F16")
    if not source.exists():
        tokenizer = small_model(environments).gguf("Q4_1")
        run(environments.openvino, HERE / "make_large_model.py", tokenizer, source)
    make_forms(model, source, environments)
    return model


def make_forms(model: Model, source: Path, environments: Environments) -> None:
    """Make every missing format from the source, a GGUF file."""
    for kind in GGUF_KINDS:
        if not model.gguf(kind).exists():
            announce(model.gguf(kind))
            run(environments.llama_cpp, HERE / "prepare_llama_cpp.py", source, kind, model.gguf(kind))
    if not (model.hf / "config.json").exists():
        announce(model.hf)
        run(environments.openvino, HERE / "prepare_openvino.py", source, model.hf)
    for bits, options in (("int8", ()), ("int4", ("--group-size", "64"))):  # the default group doesn't divide 576
        if not (model.openvino(bits) / "openvino_model.xml").exists():
            announce(model.openvino(bits))
            export = ("export", "openvino", "-m", model.hf, "--library", "transformers")
            task = ("--task", "text-generation-with-past", "--weight-format", bits, *options)
            run(environments.openvino.parent / "optimum-cli", *export, *task, model.openvino(bits))


def announce(path: Path) -> None:
    print(f"Making {path}: minutes, once.", file=sys.stderr)
