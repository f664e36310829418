"""JSON grammars without a model: what one accepts, and random texts that it allows."""

import json
import random

from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte", slices=[])
_LIKELY = '"}]0123456789abcde{[, \n<-:'


def matcher(source):
    made = LLMatcher(BYTES, source, log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def accepts(source, text):
    made = matcher(source)
    data = text.encode()
    return made.try_consume_tokens(list(data)) == len(data) and made.is_accepting()


def random_text(source, seed, *, most=400):
    """Return a random text that the grammar allows, None if it gets too long or too complex."""
    made, numbers, said = matcher(source), random.Random(seed), bytearray()
    while not made.is_stopped() and not (made.is_accepting() and numbers.random() < 0.5):
        mask = made.compute_bitmask()
        allowed = [byte for byte in range(255) if mask[byte >> 3] >> (byte & 7) & 1]
        assert allowed, f"nothing may follow {said!r}: {made.get_error()}"
        likely = [byte for byte in allowed if chr(byte) in _LIKELY]
        # Ends are preferred, so that texts do.
        ends = [byte for byte in allowed if chr(byte) in '"}]']
        byte = numbers.choice(ends if ends and numbers.random() < 0.4 else likely or allowed)
        if not made.consume_token(byte):
            return None  # beyond the library's limits of work
        said.append(byte)
        if len(said) > most:
            return None
    return said.decode()


def random_value(source, seed):
    """Return a random JSON value that the grammar allows in a list, an empty list if its text gets too long."""
    text = random_text(source, seed)
    return [] if text is None else [json.loads(text)]
