"""One message of each shape that a server and a replica send each other."""

from llmos.engine.messages import (
    Abort,
    Delta,
    EngineStats,
    Generate,
    LoadModel,
    Rate,
    Rated,
    Ready,
    SamplingParams,
    Shutdown,
    Started,
    TokenLogprob,
    TokenScore,
)

COMMANDS = [
    Generate(
        id="a", messages=[{"role": "user", "content": "你好"}], sampling=SamplingParams(logit_bias={5: -1.0}, n=2)
    ),
    Generate(id="b", tokens=[1, 2, 3], echo=True),
    Generate(id="c", tokens=[1, 2], prompt_logprobs=2),
    Rate(request=Generate(id="s", text="é"), continuations=["a", [1, 2]], scores_prompt=True, num_top=2),
    Abort("a"),
    LoadModel(files={"model.gguf": "/x"}, config={"threads": 2}),
    Shutdown(),
]

EVENTS = [
    Started("a", 3),
    Delta(id="a", text="é", token_ids=[7], logprobs=[TokenLogprob(7, "�", b"\xc3", -0.5, [(7, "�", b"\xc3", -0.5)])]),
    Delta(id="a", index=1, finish_reason="stop", stop_reason=2, num_output_tokens=9),
    Rated(
        id="s", prompt_start=(1, "a", b"a"), num_computed_tokens=9,
        continuations=[[TokenScore(7, "�", b"\xc3", -0.5, 1, 2.5, [(7, "�", b"\xc3", -0.5)])], []],
    ),
    EngineStats(
        num_running=1, num_waiting=2, num_free_blocks=3, num_preemptions=4, num_steps=5, num_prompt_tokens=6,
        num_output_tokens=7,
    ),
    Ready(
        family="llama", context_length=1, vocab_size=2, has_template=True, num_blocks=3, weight_bytes=4, kv_bytes=5,
        load_seconds=0.5, isa="avx2", threads=2,
    ),
]  # fmt: skip
