"""Text to tokens and back.

tokenizer/          text <-> tokens, chat templates, incremental decoding
tools/              tool calls: into the prompt, and out of the answer
chat.py             a chat request as a prompt, and a parser for its answers
reasoning.py        reasoning that a model writes before its answer
grammar.py          constrained answers; grammar_checker.py tries each grammar in a process of its own first
stopping.py         stop strings
output.py           the tokens of one choice -> deltas for the caller
"""
