"""Models in fewer bits, one file per scheme.

int4.py       4 bits: GPTQ on text that the model wrote itself

gptq.py       one matrix and the moments of its inputs -> Q4_1
q8_0.py       one matrix -> Q8_0, by rounding
"""

from llmos.engine.calibration.own_text import Calibration
from llmos.engine.quantize.gguf_file import quantize_gguf
from llmos.engine.quantize.int4 import quantize_int4

__all__ = ["Calibration", "quantize_gguf", "quantize_int4"]
