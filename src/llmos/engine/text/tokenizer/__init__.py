"""Text <-> tokens, chat templates, and incremental decoding of an answer.

tokenizer.py          Tokenizer: encode, encode_chat, decode. A user's text never becomes a control token
parts.py              the parts of a Tokenizer; from_gguf.py and from_files.py build them
splits.py             how byte-level vocabularies split text into words, by GGUF's names
pieces.py             a token's text in the vocabulary -> its bytes
space_prefix.py       the space that SentencePiece puts before a text
control_tokens.py     which tokens are control tokens, and which others only a chat template may write
control_strings.py    tells control strings in a user's messages from those of the chat template
cut_calls.py          calls whose arguments are no JSON object
fragment_encoder.py   FragmentEncoder: text inside an answer -> tokens
continuations.py      texts behind a prompt -> the tokens that they have there
fitting.py            does the model have an embedding for the tokens that every prompt has?
detokenizer.py        Detokenizer: tokens in, whole characters out
template.py           ChatTemplate: messages -> prompt, within limits
sandbox.py            Jinja for untrusted templates; filters.py and limits.py are parts of it
"""

from llmos.engine.text.tokenizer.detokenizer import Detokenizer
from llmos.engine.text.tokenizer.template import ChatTemplate
from llmos.engine.text.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Detokenizer", "Tokenizer"]
