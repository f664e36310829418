"""Export of a name that callers ask for to Triton Inference Server."""
