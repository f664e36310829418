"""Models with less in them: single weights, or whole layers, heads and channels.

model.py       a model's files -> the files of the pruned one, a few rows at a time

sparse.py      single weights, by magnitude or by Wanda; they are stored without the zeros
masks.py       which weights of a matrix stay

smaller.py     whole parts; what is left is a plain model of a smaller size
importance.py  what the parts are worth, and how the rest makes up for them
shape.py       the smaller model as data: its spec, and what its files say
"""

from llmos.engine.compression.prune.model import prune

__all__ = ["prune"]
