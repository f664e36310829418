"""Measures a model on this machine, alone or beside a reference. Knows files and tensors, no registry.

text.py          the text that is predicted, as tokens
predictions.py   how well a runner predicts it, and how far its distributions are from a reference's
layers.py        how far two models' weights and residual streams are apart, layer by layer
serving.py       how fast a model answers and how much memory it takes, in a process of its own
"""
