"""Models with single weights, or whole layers, heads and channels, removed.

model.py       prunes a model's files, a few rows at a time

sparse.py      single weights, by magnitude or by Wanda; stored without the zeros
masks.py       which weights of a matrix are kept

smaller.py     whole layers, heads and channels; the result is a plain model of a smaller size
importance.py  scores of layers, heads and channels, and the least-squares fit of what is kept
shape.py       the smaller model's spec, and the metadata of its files
"""

from llmos.engine.compression.prune.model import prune

__all__ = ["prune"]
