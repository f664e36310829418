"""Chooses the files that make up a model: a GGUF file or its parts, or some of a Hugging Face folder."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.engine.formats.file_bytes import open_bytes
from llmos.engine.formats.gguf_parts import missing_parts, names_of_parts
from llmos.engine.formats.pickles import REASON, looks_like_pickle, pickle_names
from llmos.engine.formats.safetensors import INDEX_NAME

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.safetensors")
_GGUF_MAGIC = b"GGUF"
_FOLDER_SUFFIXES = (".json", ".txt", ".model", ".jinja", ".safetensors")
_DOCUMENTS = ("LICENSE", "NOTICE", "README.md")
_SUBFOLDERS = ("[0-9]_*/config.json", "additional_chat_templates/*.jinja")
"""Files in subfolders: what sentence-transformers writes for an encoder, and chat templates for particular uses."""
_README_LICENSE = re.compile(r"\A---\s*$.*?^license:\s*([\w.+-]+)\s*$.*?^---\s*$", re.MULTILINE | re.DOTALL)
_README_CHARACTERS = 20_000


class _ModelSelection:
    """Selects the files of a model, see llmos.core.sources.Selection."""

    hub_kind = "models"

    def select(self, names: Collection[str], where: str, chosen: str | None = None) -> list[str]:
        """Return the files of the model. `chosen`: a GGUF file. Raises as select_model_files()."""
        return select_model_files(names, where, chosen)

    def find(self, path: Path) -> dict[str, Path]:
        """Return the files of the model at a local path. Raises as find_model_files()."""
        return find_model_files(path)

    def archive_folder(self, paths: Sequence[str], chosen: str | None) -> str:
        """Return the topmost folder with weights, or that of the chosen file."""
        weights = [path for path in paths if path.endswith((".gguf", ".safetensors"))]
        top = PurePosixPath(chosen or min(weights, key=lambda path: path.count("/"), default="")).parent.as_posix()
        return "" if top == "." else f"{top}/"

    def check_url(self, url: str, name: str) -> None:
        """Raise BadRequest unless the file is a whole GGUF model."""
        if not name.endswith(".gguf"):
            raise BadRequest(f"{url} is not a GGUF file. A folder can't be listed over https: use hf:, s3: or oci:.")
        if len(parts := names_of_parts(name)) > 1:
            raise BadRequest(
                f"{name} is one of {len(parts)} parts of a model, and a URL is one file. Pull all of them from a hub"
                f" (hf:OWNER/NAME#{parts[0]}) or a bucket (s3:), or import the folder with all parts:"
                " llmos import FOLDER."
            )


MODEL_SELECTION = _ModelSelection()


def find_model_files(path: Path) -> dict[str, Path]:
    """Return {name: path} of the model at `path`, which is a file or a folder.

    Raises BadRequest where there is no file to import, UnsupportedModel for pickles, BadModelFile for other files.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        return _find_in_folder(_snapshot(path) if (path / "snapshots").is_dir() else path)
    if path.is_file():
        return _find_single_file(path)
    if path.exists():
        raise BadRequest(f"{path} is neither a file nor a folder.", param="path")
    raise BadRequest(f"There is no {path}.", param="path")


def is_adapter(files: Mapping[str, Path]) -> bool:
    """Return whether these are the files of a LoRA adapter, which works only with its model."""
    return ADAPTER_CONFIG in files


def drop_unused_weights(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files without weights that the model doesn't use. Some folders hold the same weights twice."""
    if "model.safetensors" in files:
        used = {"model.safetensors"}
    elif INDEX_NAME in files:
        used = set(json.loads(files[INDEX_NAME].read_text(encoding="utf-8-sig"))["weight_map"].values()) | {INDEX_NAME}
    else:
        return dict(files)
    return {
        name: path
        for name, path in files.items()
        if name in used or not name.endswith((".safetensors", ".safetensors.index.json"))
    }


def license_from_readme(files: Mapping[str, Path]) -> str | None:
    """Return the license in the front matter of the folder's README, or None."""
    if "README.md" not in files:
        return None
    with files["README.md"].open(encoding="utf-8", errors="replace") as file:
        match = _README_LICENSE.search(file.read(_README_CHARACTERS))
    return match[1] if match else None


def _find_single_file(path: Path) -> dict[str, Path]:
    if not path.stat().st_size:
        raise BadModelFile(f"{path} is empty.", param="path")
    data = open_bytes(path, path.name)
    if data[:4] == _GGUF_MAGIC:
        if not path.name.endswith(".gguf"):
            return {"model.gguf": path}
        parts = names_of_parts(path.name)
        _check_parts(parts, [name for name in parts if (path.parent / name).is_file()], str(path.parent))
        return {name: path.parent / name for name in parts}
    if path.name.endswith(".safetensors"):
        raise BadRequest(
            f"{path.name} lacks its config.json and its tokenizer. Import the folder that contains all of them:"
            f" llmos import {path.parent}",
            param="path",
        )
    if pickle_names([path.name]) or looks_like_pickle(data):
        raise UnsupportedModel(f"{path.name} holds pickled weights. {REASON}", param="path")
    raise BadModelFile(f"{path} is neither a GGUF file nor a Hugging Face folder.", param="path")


def _snapshot(folder: Path) -> Path:
    """Return the snapshot to import from a folder models--OWNER--NAME of the hub's cache: that of the branch `main`, or
    the only one. Raises BadRequest where one has to be chosen."""
    main = folder / "refs" / "main"
    if main.is_file() and (snapshot := folder / "snapshots" / main.read_text(encoding="utf-8").strip()).is_dir():
        return snapshot
    snapshots = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    if len(snapshots) != 1:
        listed = ", ".join(str(path) for path in snapshots[:8]) or "none"
        raise BadRequest(
            f"{folder} is a folder of the hub's cache. Import one of its snapshots: {listed}.", param="path"
        )
    return snapshots[0]


def _find_in_folder(folder: Path) -> dict[str, Path]:
    paths = [path for path in folder.iterdir() if path.is_file()] + [
        path for pattern in _SUBFOLDERS for path in folder.glob(pattern)
    ]
    names = select_model_files([str(path.relative_to(folder)) for path in paths], str(folder))
    return {name: folder / name for name in names}


def select_model_files(names: Collection[str], where: str, gguf: str | None = None) -> list[str]:
    """Return the names of the files that make up the model in a folder, in a repository or in an archive.

    `names`: all file names, relative to the folder. `where`: the folder's name in error messages. `gguf`: the file to
    take where there are several GGUF files. Raises BadRequest where one has to be chosen, UnsupportedModel for pickles,
    BadModelFile where there is no model.
    """
    top = sorted(name for name in names if "/" not in name)
    if gguf is not None:
        if gguf not in names:
            raise BadRequest(f"{where} has no file {gguf}. It has {', '.join(top) or 'none'}.", param="path")
        parts = names_of_parts(gguf)
        _check_parts(parts, names, where)
        return parts
    if ADAPTER_CONFIG in top and "config.json" not in top:
        # peft sometimes writes a tokenizer too. The model's own tokenizer is the one in use.
        return [name for name in top if name in _ADAPTER_FILES or name.startswith(_DOCUMENTS)]
    # A model that is split into parts has the name of its first part.
    ggufs = sorted({names_of_parts(name)[0] for name in top if name.endswith(".gguf")})
    if any(name.endswith(".safetensors") for name in top):
        modules = sorted(
            name for name in names if any(map(PurePosixPath(name).match, _SUBFOLDERS)) and name.count("/") == 1
        )
        return [name for name in top if name.endswith(_FOLDER_SUFFIXES) or name.startswith(_DOCUMENTS)] + modules
    if len(ggufs) == 1:
        parts = names_of_parts(ggufs[0])
        _check_parts(parts, names, where)
        return parts
    if ggufs:
        raise BadRequest(
            f"{where} has {len(ggufs)} GGUF models. Name one of them: {', '.join(ggufs)}.",
            param="path",
        )
    if INDEX_NAME in top:
        raise BadModelFile(f"{where} has {INDEX_NAME}, but none of the weight files listed in it.", param="path")
    if pickles := pickle_names(top):
        raise UnsupportedModel(f"{where} has its weights only as pickles ({', '.join(pickles)}). {REASON}")
    raise BadModelFile(f"{where} has no model: it has no *.safetensors and no *.gguf file.", param="path")


def _check_parts(parts: Collection[str], present: Collection[str], where: str) -> None:
    if (problem := missing_parts(parts, present)) is not None:
        raise BadRequest(f"{where} has only some parts of a model. {problem}", param="path")
