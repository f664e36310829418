"""Models in fewer bits.

model.py       quantizes a model's files, a few rows at a time
in_memory.py   quantizes a model's tensors, without files
plan.py        the encoding of each tensor, by scheme
rounding.py    rounds rows of floats to an encoding

minmax.py      equal steps from the smallest value to the largest
absmax.py      symmetric: a scale and no minimum
blocks.py      GGUF's Q8_0, Q4_0 and Q4_1
affine.py      groups with the scale and the minimum of the least squared error
calibrated.py  the base of the calibrated schemes, which go layer by layer, and GPTQ
awq.py         AWQ
gptq.py        quantizes one matrix by the moments of its inputs; triangles.py has its linear algebra
"""

from llmos.engine.compression.quantize.model import quantize

__all__ = ["quantize"]
