"""/v2/models/{model}."""
