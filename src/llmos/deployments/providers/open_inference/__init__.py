"""Servers of the Open Inference Protocol as providers: Triton, KServe's, and LLMOS itself."""
