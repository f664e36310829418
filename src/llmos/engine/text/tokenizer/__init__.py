"""Text <-> tokens, chat templates, and text out of tokens as they come.

tokenizer.py      Tokenizer: encode, encode_chat, decode. User text stays text
parts.py          what a Tokenizer is made of; from_gguf.py and from_files.py make it
splits.py         how byte-level vocabularies cut text into words, by GGUF's names
pieces.py         a token's text in the vocabulary -> the bytes that it stands for
middle.py         FragmentEncoder: text that must come next -> tokens, beside the steps
detokenizer.py    Detokenizer: tokens in, whole characters out
template.py       ChatTemplate: messages -> prompt, within limits
sandbox.py        where a stranger's template runs
"""

from llmos.engine.text.tokenizer.detokenizer import Detokenizer
from llmos.engine.text.tokenizer.template import ChatTemplate
from llmos.engine.text.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Detokenizer", "Tokenizer"]
