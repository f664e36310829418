"""One call to a model, independent of its wire format: resolution, admission, the pipeline and the answer."""
