"""Observes the inputs of a model's matrices while it reads a text, for schemes that look at more than the weights.

    tokens_SL = calibration_tokens(checkpoint, calibration, text)     the user's text, or one that the model generates
    last_hidden(spec, tensors, tokens_SL, weights_for, on_layer=...)  a forward pass in plain numpy, layer by layer

`weights_for` is called with the names of matrices in the order of the forward pass, and with their inputs x_NC, a row
for each token: the outputs of the heads for "layers.3.o", the channels of the feed-forward layer for "layers.3.down".
It may keep moments(x_NC) or norms(x_NC), and returns the weights that the forward pass continues with. `on_layer` is
called with the input and the output of each layer.

Memory holds the matrices of one layer, and that layer's activations for all tokens.

own_text.py   a model -> text that it generates
tokens.py     a text file -> tokens; chooses between the two
decoder.py    the forward pass
"""

from llmos.engine.compression.calibration.decoder import OnLayer, WeightsFor, last_hidden, moments, norms
from llmos.engine.compression.calibration.own_text import DEFAULT_CALIBRATION, Calibration
from llmos.engine.compression.calibration.tokens import calibration_of, calibration_tokens

__all__ = [
    "DEFAULT_CALIBRATION",
    "Calibration",
    "OnLayer",
    "WeightsFor",
    "calibration_of",
    "calibration_tokens",
    "last_hidden",
    "moments",
    "norms",
]
