"""Choice of a route's target by weight. One key always gets the same target until the weights change.

Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights as rates of exponentials, Efraimidis & Spirakis 2006):
each target draws a number from a hash of the key and its own name, and the best draw wins. A draw depends on nothing
else, so a key moves to another target only if that target's weight has grown relative to its own. From 5 % to 25 %, a
fifth of all keys move, all of them to the target that has grown.
"""

from collections.abc import Mapping
from hashlib import blake2b
from math import log


def choose(percent_of: Mapping[str, float], key: str) -> str:
    """Return the target for the key. Over many keys each target gets its share."""
    if len(percent_of) == 1:  # The usual case needs no draw.
        return next(iter(percent_of))
    return min(percent_of, key=lambda target: -log(draw(key, target)) / percent_of[target])


def draw(key: str, name: str) -> float:
    """Return a number between 0 and 1 that depends only on both names, uniformly distributed over keys."""
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64
