"""Stand-ins for the model and the tokenizer, so that the engine's output can be predicted exactly.

FakeRunner reads the tokens before a position from its own paged cache, through the block table that it is given. So a
block that two sequences hold, a stale table, and a token computed twice or left out all give another next token than
`continuation()` predicts.
"""

import codecs
import zlib

import numpy as np

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import Delta, Generate, SamplingParams
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.spec import DecoderSpec
from support.reference_scores import scores_of

EOS = 256
"""The tokens 0 to 255 are bytes; this one ends an answer."""
SPECIAL = 257
"""A control token that doesn't end an answer."""
VOCAB_SIZE = 260


def fake_logits(tokens):
    """Return the logits behind these tokens; they depend on every one of them."""
    seed = zlib.crc32(np.asarray(tokens, np.int32).tobytes())
    return np.random.default_rng(seed).standard_normal(VOCAB_SIZE).astype(np.float32)


def continuation(prompt, count):
    """Return the fake model's greedy answer."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(np.argmax(fake_logits(tokens))))
    return tokens[len(prompt) :]


class FakeRunner:
    """Computes fake_logits() of the tokens in its cache, and counts what it is asked for."""

    def __init__(self, num_blocks=64, max_positions=512):
        self.spec = DecoderSpec(
            family="fake", vocab_size=VOCAB_SIZE, hidden_size=8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8,
            intermediate_size=8, max_positions=max_positions,
        )  # fmt: skip
        self.num_blocks = num_blocks
        self.cache = np.full(num_blocks * BLOCK_SIZE, -1, np.int32)
        self.batch_sizes = []
        self.num_positions = 0
        """Positions computed in all, which shows whether any was computed twice."""
        self.num_scored = 0
        """Given tokens scored in all."""
        self._scores = None

    def forward(self, batch):
        num_sequences = len(batch.starts) - 1
        assert batch.block_tables.flags.c_contiguous
        assert all(a.dtype == np.int32 for a in (batch.tokens, batch.starts, batch.context_lengths, batch.block_tables))
        self.batch_sizes.append((num_sequences, len(batch.tokens)))
        self.num_positions += len(batch.tokens)
        logits, scored = [], []
        rows = set(batch.logit_rows.tolist())
        scored_rows = [] if batch.scored_rows is None else batch.scored_rows.tolist()
        assert scored_rows == sorted(scored_rows)
        # Write everything before reading anything, as a forward pass does layer by layer.
        for s in range(num_sequences):
            start, end = batch.starts[s : s + 2]
            positions = batch.context_lengths[s] + np.arange(end - start)
            self.cache[self._slots(batch, s, positions)] = batch.tokens[start:end]
        for s in range(num_sequences):
            for row in range(*batch.starts[s : s + 2]):
                if row not in rows and row not in scored_rows:
                    continue
                length = batch.context_lengths[s] + row - batch.starts[s] + 1
                logits_V = self.logits(self.cache[self._slots(batch, s, np.arange(length))])
                logits += [logits_V] * (row in rows)
                scored += [logits_V] * scored_rows.count(row)
        self.num_scored += len(scored)
        self._scores = None
        if scored:
            self._scores = scores_of(np.array(scored, np.float32), batch.scored_tokens, batch.num_top)
        return np.array(logits, np.float32).reshape(len(logits), VOCAB_SIZE)

    def likeliest(self):
        return None

    def scores(self):
        return self._scores

    def logits(self, tokens):
        return fake_logits(tokens)

    @staticmethod
    def _slots(batch, s, positions):
        return batch.block_tables[s][positions // BLOCK_SIZE] * BLOCK_SIZE + positions % BLOCK_SIZE


class ScriptedRunner(FakeRunner):
    """Answers every prompt with the same text, then ends."""

    def __init__(self, text, **options):
        super().__init__(**options)
        self.script = [*text.encode(), EOS] if isinstance(text, str) else [*text]

    def logits(self, tokens):
        # The prompts of these tests end with the token 0, and no script has one.
        num_answered = len(tokens) - 1 - int(np.flatnonzero(tokens == 0)[-1])
        logits = np.zeros(VOCAB_SIZE, np.float32)
        logits[ord(".")] = 1  # the next best token, if the script's is not allowed
        logits[self.script[min(num_answered, len(self.script) - 1)]] = 10
        return logits


class MarkovRunner(FakeRunner):
    """Answers with a few letters, each of which depends only on the last `order` tokens; so it repeats itself."""

    def __init__(self, seed, order=1, letters="abcd", **options):
        super().__init__(**options)
        self.seed, self.order, self.letters = seed, order, [*letters.encode()]

    def logits(self, tokens):
        numbers = np.random.default_rng([self.seed, *tokens[-self.order :].tolist()])
        logits = np.full(VOCAB_SIZE, -30, np.float32)
        logits[self.letters] = 2 * numbers.standard_normal(len(self.letters))
        logits[EOS] = -1
        return logits


class SomeBlocks:
    """A real runner with fewer blocks than it really has."""

    def __init__(self, runner, num_blocks):
        self._runner, self.num_blocks = runner, num_blocks

    def __getattr__(self, name):
        return getattr(self._runner, name)


class FakeDetokenizer:
    """Decodes tokens 0 to 255 as UTF-8."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token):
        return self.decoder.decode(bytes([token])) if token < 256 else ""

    def finish(self):
        return self.decoder.decode(b"", final=True)


class FakeTokenizer:
    """Encodes text as its bytes."""

    vocab_size = VOCAB_SIZE
    bos_id = None
    eos_ids = frozenset({EOS})
    control_ids = frozenset(range(256, VOCAB_SIZE))
    has_template = True
    takes_system_messages = True

    @staticmethod
    def template_text(*, with_tools=False):
        return ""

    def encode(self, text, *, add_bos=True, find_control=False):
        return list(text.encode())

    def encode_chat(self, messages, *, variables=None, add_generation_prompt=True, **_):
        return [SPECIAL, *"".join(m["content"] for m in messages).encode()]

    def decode(self, ids, *, skip_special=True):
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def token_bytes(self, token):
        return bytes([token]) if token < 256 else b"<%d>" % token

    def token_text(self, token):
        return self.token_bytes(token).decode(errors="replace")

    def encode_inside(self, texts):
        return [list(text.encode()) for text in texts]

    def fragment_encoder(self, vocab_size):
        return list

    def detokenizer(self, *, continues_prompt=False, visible_control=()):
        return FakeDetokenizer()


def make_engine(runner=None, **options):
    return Engine(runner or FakeRunner(), FakeTokenizer(), EngineConfig(**options))


def generate(id="r", tokens=(1, 2, 3), caller="", **sampling):
    """Return a request for a greedy answer that ignores end-of-sequence tokens, unless `sampling` says otherwise."""
    options = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 8} | sampling
    return Generate(id=id, tokens=list(tokens), caller=caller, sampling=SamplingParams(**options))


def run(engine, *requests, check=True):
    """Submit the requests and step until all are done; return {(id, index): [events]}, Failed events included."""
    for request in requests:
        engine.submit(request)
    return drain(engine, check=check)


def drain(engine, check=True):
    outputs = {}
    while engine.has_work:
        for event in engine.step():
            outputs.setdefault((event.id, getattr(event, "index", 0)), []).append(event)
        if check:
            engine.check_invariants()
    return outputs


def tokens_of(deltas):
    return [token for delta in deltas for token in delta.token_ids]


def num_tokens(events):
    """Count the tokens of an answer. How many deltas brought them depends on how fast they were read."""
    return sum(len(event.token_ids) for event in events if isinstance(event, Delta))


def text_of(deltas):
    return "".join(delta.text for delta in deltas if isinstance(delta, Delta))


def logprobs_of(deltas):
    return [entry for delta in deltas for entry in delta.logprobs]
