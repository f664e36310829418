"""Models in fewer bits.

model.py       a model's files -> the files of the quantized one, a few rows at a time
plan.py        which tensor becomes what, by scheme

minmax.py      equal steps from the smallest value to the largest
absmax.py      symmetric, a scale and no minimum
blocks.py      GGUF's Q8_0, Q4_0, Q4_1
affine.py      groups with a scale and a minimum, the ones that fit best
calibrated.py  what looks at a text: layer by layer, and GPTQ's way
awq.py         AWQ's way
gptq.py        one matrix and the moments of its inputs -> the same in few bits; triangles.py: its linear algebra
rounding.py    rows of floats -> rows as an encoding has them
"""

from llmos.engine.compression.quantize.model import quantize
from llmos.engine.compression.quantize.plan import plan

__all__ = ["plan", "quantize"]
