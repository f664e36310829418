"""Which of a route's targets a call goes to: by weight, and for one key always the same, until the weights change.

Weighted rendezvous hashing (Thaler & Ravishankar 1998; the weights as rates of exponentials, Efraimidis & Spirakis
2006): every target draws a number out of the key and its own name, and the best draw wins. A draw depends on nothing
else, so a key moves from one target to another only where the other's weight has grown against it: from 5 % to 25 %
moves a fifth of all keys, all of them to the target that has grown.
"""

from collections.abc import Mapping
from hashlib import blake2b
from math import log


def choose(percent_of: Mapping[str, float], key: str) -> str:
    """Return the target that the key goes to. Over many keys each gets its share."""
    if len(percent_of) == 1:  # The usual case draws nothing.
        return next(iter(percent_of))
    return min(percent_of, key=lambda target: -log(draw(key, target)) / percent_of[target])


def draw(key: str, name: str) -> float:
    """Return a number between 0 and 1 that depends on the two alone, evenly spread over keys."""
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64
