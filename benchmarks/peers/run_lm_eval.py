"""Multiple-choice items scored by lm-eval and transformers, for benchmarks/likelihood.py, in an environment of its own.

Takes {"folder", "file", "threads", "items": [[context, [option, …]], …]} as JSON from the standard input; prints the
seconds that the scoring took, without loading, and the best option of each item.
"""

import json
import sys
import time


def main() -> None:
    task = json.load(sys.stdin)
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    if task["threads"]:
        torch.set_num_threads(task["threads"])
    model = HFLM(
        pretrained=task["folder"], gguf_file=task["file"], dtype="float32", device="cpu", batch_size=8, max_length=2048
    )
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(context, option), idx=i)
        for i, (context, options) in enumerate(task["items"])
        for option in options
    ]
    began = time.perf_counter()
    results = iter(model.loglikelihood(requests, disable_tqdm=True))
    seconds = time.perf_counter() - began
    best = []
    for _, options in task["items"]:
        logprobs = [next(results)[0] for _ in options]
        best.append(max(range(len(logprobs)), key=logprobs.__getitem__))
    print(json.dumps({"seconds": seconds, "best": best}))


if __name__ == "__main__":
    main()
