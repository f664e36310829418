"""POST /v2/models/{model}/infer."""
