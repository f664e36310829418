"""From logits to tokens: masks and the sampler."""
