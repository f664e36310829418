"""POST /v2/models/{model}/generate."""
