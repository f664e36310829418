"""Measure the cost of quantization: perplexity and greedy answers, against the float32 run of the same weights.

    python benchmarks/quality.py [--windows 8] [--only q4_1 int8] [--isa avx2] [--sites] [--json]

    q4_1, q4_0, q8_0   blocks as a file has them; what is left is the rounding of activations
    int8               made from bfloat16 (see disguise.py) while the model is loaded
    int4               made from bfloat16 by `llmos quantize --scheme gptq`, with text that the model writes
    int4_rtn           rounded to nearest while the model is loaded, without data: for information, without a limit
    kv_int8            the key/value cache in 8 bits, with float32 weights, so that nothing else differs

The exit status is 1 where a perplexity rises above its limit. Blocks that no file was given for are made by the
gguf package, which the tests need too.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from disguise import disguise
from llmos.core.config import load_settings
from llmos.engine._native import available_isas
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.compression.quantize.in_memory import quantize_in_memory
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Runner, native
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.packing import Plan, Weights, plan_matrices
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor
from llmos.models import open_registry
from scoring import NUM_BLOCKS, Difference, Score, Text, answer, compare, cut_text, score

Tensors = Mapping[str, RawTensor]
LIMITS: dict[str, float | None] = {
    "q4_1": 0.005, "q4_0": 0.005, "q8_0": 0.005, "int8": 0.01, "int4": 0.05, "int4_rtn": None, "kv_int8": 0.003,
}  # fmt: skip
"""The allowed increase of perplexity."""
SITES = {"qkv": ("q", "k", "v"), "o": ("o",), "gate_up": ("gate", "up"), "down": ("down",), "head": ("embed", "head")}
"""The sites at which activations are rounded, and the matrices that read them."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    isa: str
    difference: Difference
    limit: float | None

    @property
    def holds(self) -> bool:
        # Also False if the perplexity is NaN.
        return self.limit is None or self.difference.perplexity_increase <= self.limit


def only_quantized(slots: tuple[str, ...]) -> type[NativeRunner]:
    """A runner with float matrices except at one site, so that only the activations of that site are rounded."""

    class OnlySomeQuantized(NativeRunner):
        @staticmethod
        def plan(spec: DecoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
            matrices = {name: shape for name, shape in spec.tensor_shapes().items() if len(shape) > 1}
            return plan_matrices(matrices, dtype_of, lambda name: weights if name.split(".")[-2] in slots else "f32")

    return OnlySomeQuantized


class Model:
    """One set of weights, and the results of its float32 run."""

    def __init__(self, spec: DecoderSpec, tensors: Tensors, text: Text, threads: int) -> None:
        self._spec, self._tensors, self._text, self._threads = spec, tensors, text, threads
        runner = self.runner(weights="f32", kv_dtype="f32")
        self._answers_PA = answer(runner, text.prompts_PT)
        self.reference = score(runner, text, self._answers_PA)

    def runner(
        self, *, tensors: Tensors | None = None, kv_dtype: native.KVDType = "f16", **options: Any
    ) -> NativeRunner:
        """`tensors`: other tensors of the same model; None for the reference's."""
        options |= {"num_blocks": NUM_BLOCKS, "threads": self._threads, "kv_dtype": kv_dtype}
        return NativeRunner(self._spec, tensors or self._tensors, **options)

    def score(self, runner: Runner | None = None, **options: Any) -> Score:
        return score(runner or self.runner(**options), self._text, self._answers_PA)

    def difference(self, runner: Runner | None = None, **options: Any) -> Difference:
        return compare(self.score(runner, **options), self.reference)

    def sites(self, isa: str) -> Iterator[tuple[str, Difference]]:
        for site, slots in SITES.items():
            options = {"isa": isa, "kv_dtype": "f32", "num_blocks": NUM_BLOCKS, "threads": self._threads}
            yield site, self.difference(only_quantized(slots)(self._spec, self._tensors, **options))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cost of quantization in perplexity and greedy answers.")
    parser.add_argument("--model", default="smollm2", help="a model of the registry")
    parser.add_argument("--gguf", nargs="*", default=[], type=Path, help="files of other block formats of this model")
    parser.add_argument("--windows", type=int, default=8, help="number of windows of 1,024 tokens")
    parser.add_argument("--only", nargs="+", choices=list(LIMITS), default=list(LIMITS), help="measure only these rows")
    parser.add_argument("--isa", nargs="+", choices=available_isas(), default=available_isas()[:1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sites", action="store_true", help="also measure the rounding of activations at each site")
    parser.add_argument("--reference", choices=["torch"], help="also compare the float32 runs with PyTorch's (slow)")
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each row, as they are done")
    args = parser.parse_args()

    rows = []
    for row in measure(args):
        rows.append(row)
        if args.json:
            print(msgspec.json.encode(dataclasses.asdict(row) | {"holds": row.holds}).decode(), flush=True)
        else:
            print(f"{row.name} on {row.isa}: {row.difference.perplexity_increase:+.2%}", file=sys.stderr, flush=True)
    if not args.json:
        Console().print(_table(rows, args))
    sys.exit(0 if all(row.holds for row in rows) else 1)


def measure(args: argparse.Namespace) -> Iterator[Row]:
    registry = open_registry(load_settings())
    checkpoint = open_checkpoint(registry.files(registry.resolve(args.model)))
    spec, text = checkpoint.spec, cut_text(checkpoint.tokenizer, args.windows)

    def of(tensors: Tensors) -> Model:
        return Model(spec, tensors, text, args.threads)

    formats = _blocks_of(spec, checkpoint.tensors, args.gguf)
    for name in [name for name in formats if name in args.only]:
        model = of(formats[name]())
        if args.reference:
            yield Row(f"{name} in PyTorch", "float32", model.difference(_torch(spec, formats[name]())), 0.0005)
        for isa in args.isa:
            yield Row(name, isa, model.difference(isa=isa), LIMITS[name])
            if args.sites:
                yield from (Row(f"  {site}", isa, difference, None) for site, difference in model.sites(isa))
    if not {"int8", "int4", "int4_rtn", "kv_int8"} & set(args.only):
        return
    whole = disguise(spec, checkpoint.tensors)
    model = of(whole)
    ways: dict[str, dict[str, Any]] = {"int8": {"weights": "int8"}, "int4_rtn": {"weights": "int4"}}
    if "int4" in args.only:
        recipe = Recipe.of("quantize", "gptq", {})
        ways["int4"] = {"tensors": quantize_in_memory(spec, whole, recipe, threads=args.threads)}
    for isa in args.isa:
        for name, options in ways.items():
            if name in args.only:
                yield Row(name, isa, model.difference(isa=isa, **options), LIMITS[name])
        # With exact weights, only the cache makes a difference.
        if "kv_int8" in args.only:
            yield Row("kv_int8", isa, model.difference(isa=isa, weights="f32", kv_dtype="int8"), LIMITS["kv_int8"])


def _blocks_of(spec: DecoderSpec, tensors: Tensors, files: list[Path]) -> dict[str, Callable[[], Tensors]]:
    """Return functions that load the weights in each block format: the model's own, the files', and rounded ones."""
    found: dict[str, Callable[[], Tensors]] = {}
    for given in [tensors, *(open_checkpoint({"model.gguf": path}).tensors for path in files)]:
        found.setdefault(_format(spec, given), lambda given=given: given)
    try:
        import gguf
    except ImportError:
        print("Without the gguf package only formats that a file has are measured: pip install gguf", file=sys.stderr)
        return found

    def made(dtype: DType) -> Tensors:
        blocks = {}
        for name, shape in spec.tensor_shapes().items():
            # As llama.cpp does: the embedding and the head in 8 bits, vectors unchanged.
            kind: DType = "F32" if len(shape) == 1 else dtype if name.startswith("layers.") else "Q8_0"
            data = gguf.quants.quantize(dequantize(tensors[name]), gguf.GGMLQuantizationType[kind])
            rows = shape[0] if len(shape) == 2 else 1
            blocks[name] = RawTensor(kind, shape, np.ascontiguousarray(data).view(np.uint8).reshape(rows, -1))
        return blocks

    for dtype in ("Q4_1", "Q4_0", "Q8_0"):
        found.setdefault(dtype.lower(), lambda dtype=dtype: made(dtype))
    return found


def _format(spec: DecoderSpec, tensors: Tensors) -> str:
    """Return the most frequent format of the matrices."""
    kinds = Counter(tensors[name].dtype for name, shape in spec.tensor_shapes().items() if len(shape) == 2)
    return kinds.most_common(1)[0][0].lower()


def _torch(spec: DecoderSpec, tensors: Tensors) -> Runner:
    from llmos.engine.runner.torch import TorchRunner

    return TorchRunner(spec, tensors, num_blocks=NUM_BLOCKS)


def _table(rows: list[Row], args: argparse.Namespace) -> Table:
    table = Table(title=f"{args.model}: {args.windows} windows of 1,024 tokens and 64 prompts, against float32")
    for heading in ("weights", "kernels"):
        table.add_column(heading)
    for heading in ("perplexity", "more", "±", "limit", "agreement", "tokens same"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    for row in rows:
        d = row.difference
        table.add_row(
            row.name,
            row.isa,
            f"{d.perplexity:.3f}",
            f"{d.perplexity_increase:+.2%}",
            f"{d.standard_error:.2%}",
            f"{row.limit:.2%}" if row.limit is not None else "",
            f"{d.agreement:.1%}",
            f"{d.tokens_until_differing:.1f}",
            ("ok" if row.holds else "[red]over[/red]") if row.limit is not None else "",
        )
    return table


if __name__ == "__main__":
    main()
