"""GET /v1/models in OpenAI's format."""
