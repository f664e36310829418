"""What goes into a model's matrices when it is used: what schemes ask that look at more than the weights.

    tokens_SL = calibration_tokens(checkpoint, calibration, text)     own text, or the owner's
    last_hidden(spec, tensors, tokens_SL, matrices, on_layer=...)     one layer after another, in plain numpy

`matrices` is asked for the weights of each matrix in the order of the math and shown what goes into it: x_NC, a row for
each token. For "layers.3.o" these are the outputs of the heads, for "layers.3.down" the channels of the feed-forward
layer. It may keep moments(x_NC) or norms(x_NC), and what it returns is what the next ones see the effect of. `on_layer`
is shown what goes into a layer and what comes out.

Memory holds one layer's matrices and what that layer makes of all tokens.

own_text.py   a model -> text that it writes
tokens.py     a text file -> tokens; which of the two
decoder.py    a spec in plain numpy: shows what goes into each matrix
"""

from llmos.engine.compression.calibration.decoder import Matrices, OnLayer, last_hidden, moments, norms
from llmos.engine.compression.calibration.own_text import DEFAULT_CALIBRATION, Calibration
from llmos.engine.compression.calibration.tokens import calibration_of, calibration_tokens

__all__ = [
    "DEFAULT_CALIBRATION",
    "Calibration",
    "Matrices",
    "OnLayer",
    "calibration_of",
    "calibration_tokens",
    "last_hidden",
    "moments",
    "norms",
]
