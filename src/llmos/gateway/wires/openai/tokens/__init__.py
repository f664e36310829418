"""POST /v1/tokenize and /v1/detokenize, which vLLM adds to OpenAI's API."""
