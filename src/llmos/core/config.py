"""The settings of this installation. The only module that reads the environment.

variable             meaning                                          default
LLMOS_HOME           folder of the database, models, files and keys   ~/.llmos
LLMOS_DATABASE_URL   SQLAlchemy URL of the database                   SQLite in LLMOS_HOME
LLMOS_OWNER_KEY      the owner's key                                  created at the first start, LLMOS_HOME/keys/owner
LLMOS_API_KEY        key that the CLI and the client send             the owner's key, on a loopback endpoint
LLMOS_API_KEY_SERVERS  servers that a server's jobs send LLMOS_API_KEY  none
                     to when they pull and push, as https://HOST:PORT,
                     separated by spaces or commas
LLMOS_ENDPOINT       server that the CLI and the client connect to    LLMOS_PORT on this machine
LLMOS_CA             file of certificates that the client trusts      the system's, and the server's own
                     instead                                          self-signed one in LLMOS_HOME
LLMOS_PORT           port of `llmos serve`                            8000
LLMOS_MASTER_KEY     the key that encrypts what is kept, in base64    LLMOS_HOME/keys/master, made at the first start
LLMOS_OLD_MASTER_KEY the one before it, until `llmos encryption       none
                     rotate` has passed on
LLMOS_VAULT_KEY      MOUNT/NAME of a key in Vault's transit engine    none
                     that takes the master key's place
VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE: where Vault is, and who asks
LLMOS_CATALOG        path of another catalog file                     the catalog that LLMOS ships
LLMOS_LOG            the server's log of calls: text, json, off        text
LLMOS_LOG_MB         megabytes of its files in LLMOS_HOME/logs; 0: none 50
LLMOS_ISA            kernels to use: avx512, avx_vnni, avx2, portable the fastest that the CPU supports
LLMOS_THREADS        threads of the forward pass                      one per core
LLMOS_KV_BYTES       memory of each model's KV cache                  at most a quarter of the free memory
LLMOS_SNAPSHOT_BYTES memory of a recurrent model's kept states        at most an eighth of the free memory
LLMOS_KV_DTYPE       dtype of the KV cache: int8, f16, f32            int8
LLMOS_PREFIX_CACHE   reuse common prefixes of prompts: on, off        on
LLMOS_DRAFT_TOKENS   tokens per speculation step; 0 for none          8
LLMOS_PACKED         share packed weights in files: on, off           on
LLMOS_MAX_QUEUED     choices that may wait for a model, then 429      512; one caller may use half of them
LLMOS_CACHE_BYTES    memory of the response cache                     64 MiB
LLMOS_STUCK_SECONDS  restart a model that is silent for this long     10; while it computes, 20 steps
LLMOS_LOAD_SECONDS   time limit for loading a model                   600
LLMOS_WAIT_SECONDS   time a request waits for a model, then 503       60
LLMOS_TLS_CERT       certificate of `llmos serve`, a PEM file         none: plain HTTP
LLMOS_TLS_KEY        its key, a PEM file                              none
LLMOS_TLS_SELF_SIGNED make a certificate in LLMOS_HOME: on, off       off
LLMOS_ALLOW_INSECURE_NETWORK                                          off
                     serve others than this machine without TLS: on, off
LLMOS_MAX_CONNECTIONS open connections of `llmos serve`, then 503     1000
LLMOS_RECEIPT_DAYS   days that receipts of answers are kept; 0: none   30
LLMOS_ANSWER_DAYS    days that the facts of answers are kept; 0: none  30
LLMOS_ALLOW_ORIGIN   web pages that may call the server: origins,     none besides http://localhost and the like
                     separated by spaces or commas; * for all
LLMOS_PROJECT_APPS   may owners of every project deploy applications,  off
                     which are programs on the server: on, off
LLMOS_OTLP_ENDPOINT  OpenTelemetry collector that gets traces,        none
                     such as http://127.0.0.1:4318
LLMOS_TRACE_PERCENT  the share of calls that begin a trace            100
LLMOS_RAY_ADDRESS    HOST:PORT of the Ray cluster for `--on ray`       none
LLMOS_ALLOW_INSECURE_RAY                                              off
                     use a Ray without RAY_AUTH_MODE=token and
                     RAY_USE_TLS=1 of other machines: on, off
LLMOS_LIMITS_URL     Redis that counts the use of limits              the database counts it
LLMOS_PUBLIC_URL     address of the server as browsers see it         that of the request
LLMOS_TRUSTED_PROXIES  networks of proxies whose X-Forwarded-For,     none
                     X-Forwarded-Proto and Forwarded are believed
LLMOS_SESSION_IDLE_SECONDS  a browser's session ends unused after     3600
LLMOS_SESSION_SECONDS  and in any case after                          43200
LLMOS_OIDC_ISSUER    OpenID Connect provider for signing in           none; see oidc_config.py
LLMOS_OIDC_CLIENT_ID, LLMOS_OIDC_CLIENT_SECRET,
LLMOS_OIDC_CLIENT_SECRET_FILE, LLMOS_OIDC_SCOPES,
LLMOS_OIDC_GROUP_CLAIM, LLMOS_OIDC_ROLES
HF_ENDPOINT          the Hugging Face hub or a mirror of it           https://huggingface.co
HF_TOKEN             token for gated models on the hub                none
DOCKER_CONFIG        folder of docker's config.json, which has the    ~/.docker
                     credentials of OCI registries
"""

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from llmos.core.errors import BadRequest
from llmos.core.oidc_config import OidcConfig, check_https, read_oidc
from llmos.core.suggest import nearest

DEFAULT_PORT = 8000
DEFAULT_ENDPOINT = f"http://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_HF_ENDPOINT = "https://huggingface.co"
KNOWN_ISAS = ("avx512", "avx_vnni", "avx2", "portable")
LogFormat = Literal["text", "json", "off"]
KNOWN_KV_DTYPES = ("int8", "f16", "f32")
D = TypeVar("D", int, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings; the table above describes them by their variables."""

    home: Path
    database_url: str
    owner_key: str | None = None
    api_key: str | None = None
    api_key_servers: tuple[str, ...] = ()
    """The origins of the servers that jobs of a server may send `api_key` to."""
    port: int = DEFAULT_PORT
    endpoint: str = DEFAULT_ENDPOINT
    endpoint_is_set: bool = False
    """True if LLMOS_ENDPOINT is set. Commands then use that server instead of this machine's files."""
    catalog: Path | None = None
    log: LogFormat = "text"
    log_mb: int = 50
    master_key: str | None = None
    old_master_key: str | None = None
    vault_key: str | None = None
    vault_address: str = ""
    vault_token: str = ""
    vault_namespace: str | None = None
    isa: str | None = None
    threads: int | None = None
    kv_bytes: int | None = None
    snapshot_bytes: int | None = None
    kv_dtype: str | None = None
    prefix_cache: bool | None = None
    draft_tokens: int | None = None
    packed: bool = True
    max_queued: int = 512
    cache_bytes: int = 64 << 20
    stuck_seconds: int = 10
    load_seconds: int = 600
    wait_seconds: int = 60
    receipt_days: int = 30
    answer_days: int = 30
    allow_origins: tuple[str, ...] = ()
    project_apps: bool = False
    otlp_endpoint: str | None = None
    trace_percent: int = 100
    limits_url: str | None = None
    ray_address: str | None = None
    ray_is_protected: bool = False
    """True if the environment lets Ray use TLS and a token."""
    allow_insecure_ray: bool = False
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    """Networks, such as 10.0.0.0/8. As texts: settings travel to other processes as JSON."""
    session_idle_seconds: int = 3600
    session_seconds: int = 43_200
    oidc: OidcConfig | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_self_signed: bool = False
    allow_insecure_network: bool = False
    max_connections: int = 1000
    ca: Path | None = None
    hf_endpoint: str = DEFAULT_HF_ENDPOINT
    hf_token: str | None = None
    docker_config: Path | None = None
    """The path of config.json."""

    @property
    def store_path(self) -> Path:
        return self.home / "store"

    @property
    def engine_options(self) -> dict[str, Any]:
        """The settings of the engine that are set, by the names of EngineConfig's options."""
        options = {
            "isa": self.isa,
            "threads": self.threads,
            "kv_bytes": self.kv_bytes,
            "snapshot_bytes": self.snapshot_bytes,
            "kv_dtype": self.kv_dtype,
            "prefix_cache": self.prefix_cache,
            "max_draft_tokens": self.draft_tokens,
            "packed_folder": str(self.packed_path) if self.packed else None,
        }
        return {name: value for name, value in options.items() if value is not None}

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
    def apps_path(self) -> Path:
        """The folder in which applications are unpacked for their processes."""
        return self.home / "apps"

    @property
    def uploads_path(self) -> Path:
        return self.home / "uploads"

    @property
    def trusted_keys_path(self) -> Path:
        return self.home / "keys" / "trusted"

    @property
    def owner_key_path(self) -> Path:
        return self.home / "keys" / "owner"

    @property
    def ledger_spill_path(self) -> Path:
        """The folder of entries of the ledger that the database couldn't take."""
        return self.home / "ledger"

    @property
    def pepper_path(self) -> Path:
        """The secret that API keys are hashed with."""
        return self.home / "keys" / "pepper"

    @property
    def signing_key_path(self) -> Path:
        """The key that signs receipts and checkpoints of the audit log."""
        return self.home / "keys" / "signing"

    @property
    def checkpoints_path(self) -> Path:
        """The checkpoints of the audit log in this database: a file that can be shipped elsewhere."""
        is_own = self.database_url == f"sqlite:///{self.home / 'llmos.db'}"
        # The address without the password, which may change.
        address = re.sub(r"//[^@/]*@", "//", self.database_url)
        name = "checkpoints" if is_own else f"checkpoints-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        return self.home / "audit" / f"{name}.jsonl"

    @property
    def self_signed_certificate_path(self) -> Path:
        """The certificate that `llmos serve --tls-self-signed` makes, and that clients of this home trust."""
        return self.home / "keys" / "tls.pem"

    @property
    def self_signed_key_path(self) -> Path:
        return self.home / "keys" / "tls.key"

    @property
    def cluster_path(self) -> Path:
        """The authority of the cluster whose head this installation is."""
        return self.home / "cluster"

    @property
    def node_path(self) -> Path:
        """The certificate by which this machine is a node of another installation's cluster."""
        return self.home / "node"

    @property
    def logs_path(self) -> Path:
        return self.home / "logs"

    @property
    def master_key_path(self) -> Path:
        """The key that encrypts the keys of the key ring."""
        return self.home / "keys" / "master"

    @property
    def key_ring_path(self) -> Path:
        """The keys of projects, encrypted; for a database on SQLite."""
        return self.home / "keys" / "ring.db"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, by default os.environ. Raises BadRequest, naming the variable, for an invalid
    value."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("LLMOS_HOME") or "~/.llmos").expanduser().absolute()
    catalog = environ.get("LLMOS_CATALOG") or None
    port = _port(environ)
    public_url = _public_url(environ)
    self_signed = _SWITCHES[_one_of(environ, "LLMOS_TLS_SELF_SIGNED", ("on", "off"))] is True
    has_tls = self_signed or bool(environ.get("LLMOS_TLS_CERT"))
    endpoint = f"{'https' if has_tls else 'http'}://127.0.0.1:{port}"
    return Settings(
        home=home,
        database_url=environ.get("LLMOS_DATABASE_URL") or f"sqlite:///{home / 'llmos.db'}",
        owner_key=environ.get("LLMOS_OWNER_KEY") or None,
        api_key=environ.get("LLMOS_API_KEY") or None,
        api_key_servers=_parse_servers(environ.get("LLMOS_API_KEY_SERVERS", ""), "LLMOS_API_KEY_SERVERS"),
        port=port,
        endpoint=(environ.get("LLMOS_ENDPOINT") or endpoint).rstrip("/"),
        endpoint_is_set=bool(environ.get("LLMOS_ENDPOINT")),
        catalog=Path(catalog) if catalog else None,
        log=cast(LogFormat, _one_of(environ, "LLMOS_LOG", get_args(LogFormat)) or "text"),
        log_mb=_whole_number(environ, "LLMOS_LOG_MB", 50, 0, 1_000_000),
        master_key=environ.get("LLMOS_MASTER_KEY") or None,
        old_master_key=environ.get("LLMOS_OLD_MASTER_KEY") or None,
        vault_key=environ.get("LLMOS_VAULT_KEY") or None,
        vault_address=environ.get("VAULT_ADDR") or "",
        vault_token=environ.get("VAULT_TOKEN") or "",
        vault_namespace=environ.get("VAULT_NAMESPACE") or None,
        isa=_one_of(environ, "LLMOS_ISA", KNOWN_ISAS),
        threads=_whole_number(environ, "LLMOS_THREADS", None, 1, 1024),
        kv_bytes=_whole_number(environ, "LLMOS_KV_BYTES", None, 1, 1 << 50),
        snapshot_bytes=_whole_number(environ, "LLMOS_SNAPSHOT_BYTES", None, 0, 1 << 50),
        kv_dtype=_one_of(environ, "LLMOS_KV_DTYPE", KNOWN_KV_DTYPES),
        prefix_cache=_SWITCHES[_one_of(environ, "LLMOS_PREFIX_CACHE", ("on", "off"))],
        draft_tokens=_whole_number(environ, "LLMOS_DRAFT_TOKENS", None, 0, 64),
        packed=_SWITCHES[_one_of(environ, "LLMOS_PACKED", ("on", "off"))] is not False,
        max_queued=_whole_number(environ, "LLMOS_MAX_QUEUED", 512, 0, 1_000_000),
        cache_bytes=_whole_number(environ, "LLMOS_CACHE_BYTES", 64 << 20, 0, 1 << 50),
        stuck_seconds=_whole_number(environ, "LLMOS_STUCK_SECONDS", 10, 1, 86_400),
        wait_seconds=_whole_number(environ, "LLMOS_WAIT_SECONDS", 60, 0, 86_400),
        receipt_days=_whole_number(environ, "LLMOS_RECEIPT_DAYS", 30, 0, 36_500),
        answer_days=_whole_number(environ, "LLMOS_ANSWER_DAYS", 30, 0, 36_500),
        allow_origins=parse_origins(environ.get("LLMOS_ALLOW_ORIGIN", "")),
        project_apps=_SWITCHES[_one_of(environ, "LLMOS_PROJECT_APPS", ("on", "off"))] is True,
        otlp_endpoint=environ.get("LLMOS_OTLP_ENDPOINT") or None,
        trace_percent=_whole_number(environ, "LLMOS_TRACE_PERCENT", 100, 0, 100),
        limits_url=environ.get("LLMOS_LIMITS_URL") or None,
        ray_address=environ.get("LLMOS_RAY_ADDRESS") or None,
        ray_is_protected=(environ.get("RAY_AUTH_MODE"), environ.get("RAY_USE_TLS")) == ("token", "1"),
        allow_insecure_ray=_SWITCHES[_one_of(environ, "LLMOS_ALLOW_INSECURE_RAY", ("on", "off"))] is True,
        public_url=public_url,
        trusted_proxies=parse_networks(environ.get("LLMOS_TRUSTED_PROXIES", ""), "LLMOS_TRUSTED_PROXIES"),
        session_idle_seconds=_whole_number(environ, "LLMOS_SESSION_IDLE_SECONDS", 3600, 60, 31_536_000),
        session_seconds=_whole_number(environ, "LLMOS_SESSION_SECONDS", 43_200, 60, 31_536_000),
        oidc=read_oidc(environ, public_url),
        tls_cert=_path(environ, "LLMOS_TLS_CERT"),
        tls_key=_path(environ, "LLMOS_TLS_KEY"),
        tls_self_signed=self_signed,
        allow_insecure_network=_SWITCHES[_one_of(environ, "LLMOS_ALLOW_INSECURE_NETWORK", ("on", "off"))] is True,
        max_connections=_whole_number(environ, "LLMOS_MAX_CONNECTIONS", 1000, 1, 100_000),
        ca=_path(environ, "LLMOS_CA"),
        load_seconds=_whole_number(environ, "LLMOS_LOAD_SECONDS", 600, 1, 86_400),
        hf_endpoint=(environ.get("HF_ENDPOINT") or DEFAULT_HF_ENDPOINT).rstrip("/"),
        hf_token=environ.get("HF_TOKEN") or None,
        docker_config=Path(environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json",
    )


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in `text`, in the form in which browsers send them. Raises BadRequest for what is none."""
    origins = tuple(origin.lower() for origin in re.split(r"[\s,]+", text) if origin)
    for origin in origins:
        if origin not in ("*", "null") and not _ORIGIN.fullmatch(origin):
            raise BadRequest(
                f"LLMOS_ALLOW_ORIGIN has {origin!r:.200}, which is not an origin. Write scheme, host and port, without "
                "a path, as browsers send it: https://app.example.com; or * for all.",
                param="LLMOS_ALLOW_ORIGIN",
            )
    return origins


def _parse_servers(text: str, name: str) -> tuple[str, ...]:
    """Return the addresses of servers in `text`. Raises BadRequest, naming the setting `name`, for what is none."""
    servers = tuple(server.lower().rstrip("/") for server in re.split(r"[\s,]+", text) if server)
    for server in servers:
        if not _ORIGIN.fullmatch(server):
            raise BadRequest(
                f"{name} has {server!r:.200}, which is not the address of a server. Write https://HOST:PORT, without a"
                " path.",
                param=name,
            )
    return servers


def parse_networks(text: str, name: str) -> tuple[str, ...]:
    """Return the addresses and networks in `text` as networks, such as 10.0.0.0/8. Raises BadRequest, naming the
    setting `name`, for what is none."""
    try:
        return tuple(str(ip_network(each)) for each in re.split(r"[\s,]+", text) if each)
    except ValueError as error:
        raise BadRequest(
            f"{name} is wrong: {error}. Write addresses or networks such as 10.0.0.0/8, separated by spaces or commas.",
            param=name,
        ) from None


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*?#@]+")


def unknown_settings(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that begins with LLMOS_ and isn't in the table above."""
    environ = os.environ if environ is None else environ
    known = re.findall(r"^LLMOS_\w+|(?<=, )LLMOS_\w+", __doc__ or "", re.MULTILINE)
    sentences = []
    for name in sorted(environ):
        if name.startswith("LLMOS_") and known and name not in known and not name.startswith(_OTHERS_VARIABLES):
            similar = nearest(name, known, 1)
            hint = f" Did you mean {similar[0]}?" if similar else ""
            sentences.append(f"{name} is not a setting of LLMOS.{hint}")
    return sentences


_OTHERS_VARIABLES = ("LLMOS_TEST_", "LLMOS_SERVICE_", "LLMOS_PORT_")
"""Variables of the tests, and those that Kubernetes sets for a service with the name llmos."""


def _port(environ: Mapping[str, str]) -> int:
    # Kubernetes sets LLMOS_PORT=tcp://10.0.0.1:8000 for a service with the name llmos.
    is_of_kubernetes = environ.get("LLMOS_PORT", "").startswith("tcp://")
    return DEFAULT_PORT if is_of_kubernetes else _whole_number(environ, "LLMOS_PORT", DEFAULT_PORT, 1, 65535)


def _public_url(environ: Mapping[str, str]) -> str:
    url = environ.get("LLMOS_PUBLIC_URL", "").strip().rstrip("/")
    return check_https(url, "LLMOS_PUBLIC_URL") if url else ""


_SWITCHES = {"on": True, "off": False, None: None}


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    return Path(value).expanduser().absolute() if value else None


def _one_of(environ: Mapping[str, str], name: str, words: Collection[str]) -> str | None:
    value = environ.get(name) or None
    if value is not None and value not in words:
        raise BadRequest(f"{name} is {value!r}; it must be one of {', '.join(words)}.", param=name)
    return value


def _whole_number(environ: Mapping[str, str], name: str, default: D, least: int, most: int) -> int | D:
    value = environ.get(name)
    if not value:
        return default
    # Limit the digits before int(), which raises for very long texts.
    if not (value.isascii() and value.isdecimal() and len(value) <= 16 and least <= int(value) <= most):
        raise BadRequest(f"{name} is {value!r}; it must be a whole number from {least} to {most}.", param=name)
    return int(value)
