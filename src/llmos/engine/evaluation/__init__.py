"""What a model is worth, measured on this machine; knows files and tensors, and of two models which is the reference.

text.py          the text that is predicted, as tokens
predictions.py   how well a runner predicts it, and how far its distributions are from another one's
layers.py        where two models' weights and residual streams part
serving.py       how fast a model answers and how much memory that takes, in a process of its own
"""
