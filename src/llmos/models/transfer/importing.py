"""Which files make up a model that the owner has on disk already: one GGUF file, or a Hugging Face folder."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.engine.formats.pickles import REASON, looks_like_pickle, pickle_names
from llmos.engine.formats.safetensors import INDEX_NAME

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.safetensors")
_GGUF_MAGIC = b"GGUF"
_SUFFIXES = (".json", ".txt", ".model", ".jinja", ".safetensors")
_PAPERS = ("LICENSE", "NOTICE", "README.md")
_MODULE_CONFIGS = "[0-9]_*/config.json"  # what sentence-transformers puts beside an encoder
_README_LICENSE = re.compile(r"\A---\s*$.*?^license:\s*([\w.+-]+)\s*$.*?^---\s*$", re.MULTILINE | re.DOTALL)
_README_CHARACTERS = 20_000


def files_to_import(path: Path) -> dict[str, Path]:
    """Return {name: path} of the model at `path`.

    Raises BadRequest where there is nothing to import, UnsupportedModel for pickles, BadModelFile for what is no model.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        return _files_of_folder(path)
    if path.is_file():
        return _single_file(path)
    if path.exists():
        raise BadRequest(f"{path} is neither a file nor a folder.", param="path")
    raise BadRequest(f"There is no {path}.", param="path")


def is_adapter(files: Mapping[str, Path]) -> bool:
    """Whether these are the files of an adapter, which changes a model that is here already."""
    return ADAPTER_CONFIG in files


def without_duplicate_weights(files: Mapping[str, Path]) -> dict[str, Path]:
    """Drop weight files that the model doesn't use: some folders hold the same weights twice, in other shards."""
    if "model.safetensors" in files:
        used = {"model.safetensors"}
    elif INDEX_NAME in files:
        used = set(json.loads(files[INDEX_NAME].read_text(encoding="utf-8"))["weight_map"].values()) | {INDEX_NAME}
    else:
        return dict(files)
    return {
        name: path
        for name, path in files.items()
        if name in used or not name.endswith((".safetensors", ".safetensors.index.json"))
    }


def license_of(files: Mapping[str, Path]) -> str | None:
    """Return the licence that a folder's README names in its head."""
    if "README.md" not in files:
        return None
    with files["README.md"].open(encoding="utf-8", errors="replace") as file:
        match = _README_LICENSE.search(file.read(_README_CHARACTERS))
    return match[1] if match else None


def _single_file(path: Path) -> dict[str, Path]:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_GGUF_MAGIC):
        return {path.name if path.name.endswith(".gguf") else "model.gguf": path}
    if path.name.endswith(".safetensors"):
        raise BadRequest(
            f"{path.name} alone lacks its config.json and its tokenizer. Import the folder that has them all:"
            f" llmos import {path.parent}",
            param="path",
        )
    if pickle_names([path.name]) or looks_like_pickle(head):
        raise UnsupportedModel(f"{path.name} holds pickled weights. {REASON}", param="path")
    if not head:
        raise BadModelFile(f"{path} is empty.", param="path")
    raise BadModelFile(f"{path} is neither a GGUF file nor a Hugging Face folder.", param="path")


def _files_of_folder(folder: Path) -> dict[str, Path]:
    paths = [path for path in folder.iterdir() if path.is_file()] + list(folder.glob(_MODULE_CONFIGS))
    names = choose_files([str(path.relative_to(folder)) for path in paths], str(folder))
    return {name: folder / name for name in names}


def choose_files(names: Collection[str], where: str, wanted: str | None = None) -> list[str]:
    """Return which of the files that lie in a folder, on a hub or in an archive make up the model there, in order.

    `wanted`: the GGUF file that is meant where there are several. `where` is what errors call the place.
    Raises BadRequest where one has to be named, UnsupportedModel for pickles, BadModelFile where there is no model.
    """
    top = sorted(name for name in names if "/" not in name)
    if wanted is not None:
        if wanted not in names:
            raise BadRequest(f"{where} has no file {wanted}. It has {', '.join(top) or 'none'}.", param="path")
        return [wanted]
    if ADAPTER_CONFIG in top and "config.json" not in top:
        # peft puts a tokenizer beside it at times; the model's own is the one that answers.
        return [name for name in top if name in _ADAPTER_FILES or name.startswith(_PAPERS)]
    ggufs = [name for name in top if name.endswith(".gguf")]
    if any(name.endswith(".safetensors") for name in top):
        modules = sorted(name for name in names if PurePosixPath(name).match(_MODULE_CONFIGS) and name.count("/") == 1)
        return [name for name in top if name.endswith(_SUFFIXES) or name.startswith(_PAPERS)] + modules
    if len(ggufs) == 1:
        return ggufs
    if ggufs:
        raise BadRequest(
            f"{where} holds {len(ggufs)} GGUF files, each a model of its own. Name the one that you want:"
            f" {', '.join(ggufs)}.",
            param="path",
        )
    if INDEX_NAME in top:
        raise BadModelFile(f"{where} has {INDEX_NAME}, but none of the weight files that it names.", param="path")
    if pickles := pickle_names(top):
        raise UnsupportedModel(f"{where} holds its weights as pickles only ({', '.join(pickles)}). {REASON}")
    raise BadModelFile(f"{where} holds no model: there is no *.safetensors and no *.gguf file in it.", param="path")
