"""The settings of this installation. The only file that reads the environment.

LLMOS_HOME          where everything is kept                       ~/.llmos
LLMOS_DATABASE_URL  an SQLAlchemy URL                              sqlite in LLMOS_HOME
LLMOS_OWNER_KEY     the owner's key                                made at the first start, LLMOS_HOME/keys/owner
LLMOS_API_KEY       the key that the CLI and the Client send       the owner's, on a loopback endpoint
LLMOS_ENDPOINT      the server that the CLI and the Client ask     http://127.0.0.1:8000
LLMOS_CATALOG       another catalog file                           the one that LLMOS ships
LLMOS_ISA           force a kernel path: avx512, avx2, portable    the best that the CPU has
LLMOS_THREADS       threads of the forward pass                    one for each core
LLMOS_KV_BYTES      memory of each model's KV cache                a quarter of what is free at most
LLMOS_KV_DTYPE      what it keeps: int8, f16, f32                  int8
LLMOS_PREFIX_CACHE  keep the beginnings of prompts: on, off        on
LLMOS_DRAFT_TOKENS  tokens that speculation proposes; 0: none      8
LLMOS_PACKED        keep packed weights on disk, to share: on, off on
LLMOS_MAX_QUEUED    choices that wait for a model, then 429        512; one caller takes half of them
LLMOS_STUCK_SECONDS a model silent for so long is started again    10; while it computes, 20 steps
LLMOS_LOAD_SECONDS  how long loading a model may take              600
LLMOS_WAIT_SECONDS  how long a request waits for that, then 503    60
HF_ENDPOINT         the model hub, or a mirror of it               https://huggingface.co
HF_TOKEN            the hub's token, for models that ask for one   none
DOCKER_CONFIG       the folder of docker's config.json, with the   ~/.docker
                    names and passwords of OCI registries
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.errors import BadRequest

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
DEFAULT_HF_ENDPOINT = "https://huggingface.co"
KNOWN_ISAS = ("avx512", "avx2", "portable")
KNOWN_KV_DTYPES = ("int8", "f16", "f32")
D = TypeVar("D", int, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    home: Path
    database_url: str
    owner_key: str | None = None
    api_key: str | None = None
    endpoint: str = DEFAULT_ENDPOINT
    endpoint_is_set: bool = False
    """LLMOS_ENDPOINT was given: the owner means that server, not the files on this machine."""
    catalog: Path | None = None
    isa: str | None = None
    threads: int | None = None
    kv_bytes: int | None = None
    kv_dtype: str | None = None
    prefix_cache: bool | None = None
    draft_tokens: int | None = None
    packed: bool = True
    max_queued: int = 512
    stuck_seconds: int = 10
    load_seconds: int = 600
    wait_seconds: int = 60
    hf_endpoint: str = DEFAULT_HF_ENDPOINT
    hf_token: str | None = None
    docker_config: Path | None = None
    """The file."""

    @property
    def store_path(self) -> Path:
        return self.home / "store"

    @property
    def engine_options(self) -> dict[str, Any]:
        """What was said of the engine, by the names of EngineConfig's options."""
        said = {
            "isa": self.isa,
            "threads": self.threads,
            "kv_bytes": self.kv_bytes,
            "kv_dtype": self.kv_dtype,
            "prefix_cache": self.prefix_cache,
            "max_draft_tokens": self.draft_tokens,
            "packed_folder": str(self.packed_path) if self.packed else None,
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def packed_path(self) -> Path:
        return self.home / "packed"

    @property
    def files_path(self) -> Path:
        return self.home / "files"

    @property
    def jobs_path(self) -> Path:
        return self.home / "jobs"

    @property
    def trusted_keys_path(self) -> Path:
        return self.home / "keys" / "trusted"

    @property
    def owner_key_path(self) -> Path:
        return self.home / "keys" / "owner"

    @property
    def master_key_path(self) -> Path:
        """What other people's keys are encrypted under."""
        return self.home / "keys" / "master"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises BadRequest, naming the variable, for a value that cannot be meant."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("LLMOS_HOME") or "~/.llmos").expanduser().absolute()
    catalog = environ.get("LLMOS_CATALOG") or None
    return Settings(
        home=home,
        database_url=environ.get("LLMOS_DATABASE_URL") or f"sqlite:///{home / 'llmos.db'}",
        owner_key=environ.get("LLMOS_OWNER_KEY") or None,
        api_key=environ.get("LLMOS_API_KEY") or None,
        endpoint=(environ.get("LLMOS_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/"),
        endpoint_is_set=bool(environ.get("LLMOS_ENDPOINT")),
        catalog=Path(catalog) if catalog else None,
        isa=_one_of(environ, "LLMOS_ISA", KNOWN_ISAS),
        threads=_whole_number(environ, "LLMOS_THREADS", None, 1, 1024),
        kv_bytes=_whole_number(environ, "LLMOS_KV_BYTES", None, 1, 1 << 50),
        kv_dtype=_one_of(environ, "LLMOS_KV_DTYPE", KNOWN_KV_DTYPES),
        prefix_cache=_SWITCHES[_one_of(environ, "LLMOS_PREFIX_CACHE", ("on", "off"))],
        draft_tokens=_whole_number(environ, "LLMOS_DRAFT_TOKENS", None, 0, 64),
        packed=_SWITCHES[_one_of(environ, "LLMOS_PACKED", ("on", "off"))] is not False,
        max_queued=_whole_number(environ, "LLMOS_MAX_QUEUED", 512, 0, 1_000_000),
        stuck_seconds=_whole_number(environ, "LLMOS_STUCK_SECONDS", 10, 1, 86_400),
        wait_seconds=_whole_number(environ, "LLMOS_WAIT_SECONDS", 60, 0, 86_400),
        load_seconds=_whole_number(environ, "LLMOS_LOAD_SECONDS", 600, 1, 86_400),
        hf_endpoint=(environ.get("HF_ENDPOINT") or DEFAULT_HF_ENDPOINT).rstrip("/"),
        hf_token=environ.get("HF_TOKEN") or None,
        docker_config=Path(environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json",
    )


_SWITCHES = {"on": True, "off": False, None: None}


def _one_of(environ: Mapping[str, str], name: str, words: Collection[str]) -> str | None:
    value = environ.get(name) or None
    if value is not None and value not in words:
        raise BadRequest(f"{name} is {value!r}; it takes one of {', '.join(words)}.", param=name)
    return value


def _whole_number(environ: Mapping[str, str], name: str, default: D, least: int, most: int) -> int | D:
    value = environ.get(name)
    if not value:
        return default
    # int() itself refuses thousands of digits.
    if not (value.isascii() and value.isdecimal() and len(value) <= 16 and least <= int(value) <= most):
        raise BadRequest(f"{name} is {value!r}; it takes a whole number from {least} to {most}.", param=name)
    return int(value)
