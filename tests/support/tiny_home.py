"""A home whose models are tiny: `smollm2`, which answers at once and makes no sense, and `minilm`, which embeds."""

import json
from pathlib import Path

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.tiny_encoders import make_tiny_encoder
from support.tiny_folders import write_folder

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call | tojson }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def make_tiny_home(home: Path, scratch: Path, context_length: int = 512) -> None:
    """Make the home, with files of models in `scratch`."""
    chat = write_folder(scratch / "chat", config={"max_position_embeddings": context_length})
    options = json.loads((chat / "tokenizer_config.json").read_text())
    (chat / "tokenizer_config.json").write_text(json.dumps(options | {"chat_template": TEMPLATE}))
    encoder = make_tiny_encoder("bert", scratch / "encoder").folder
    transfers = Transfers(open_registry(load_settings({"LLMOS_HOME": str(home)})))
    transfers.import_path(chat, "smollm2")
    transfers.import_path(encoder, "minilm")
    (home / "catalog.toml").write_text("")
