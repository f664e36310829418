"""From text to tokens and back: tokenizer, chat template, tools, grammar and stop strings."""
