"""The settings: defaults, variables, and invalid values."""

from pathlib import Path

import pytest

from llmos.core.config import load_settings, unknown_settings
from llmos.core.errors import BadRequest


def test_the_defaults_are_the_home_folder_and_a_local_server():
    settings = load_settings({})
    assert settings.home == Path.home() / ".llmos"
    assert settings.database_url == f"sqlite:///{Path.home()}/.llmos/llmos.db"
    assert settings.store_path == Path.home() / ".llmos" / "store"
    assert settings.endpoint == "http://127.0.0.1:8000"
    assert not settings.endpoint_is_set
    assert settings.hf_endpoint == "https://huggingface.co"
    assert settings.hf_token is None
    assert (settings.max_queued, settings.stuck_seconds, settings.load_seconds) == (512, 10, 600)
    assert settings.wait_seconds == 60


def test_an_empty_variable_counts_as_unset():
    empty = {
        "LLMOS_HOME": "",
        "LLMOS_THREADS": "",
        "LLMOS_ISA": "",
        "LLMOS_CATALOG": "",
        "HF_TOKEN": "",
        "HF_ENDPOINT": "",
    }
    assert load_settings(empty) == load_settings({})


def test_variables_are_read():
    settings = load_settings(
        {
            "LLMOS_HOME": "/data/llmos",
            "LLMOS_ENDPOINT": "http://10.0.0.7:9000/",
            "LLMOS_CATALOG": "/etc/catalog.toml",
            "LLMOS_ISA": "avx2",
            "LLMOS_THREADS": "3",
            "LLMOS_KV_BYTES": "17179869184",
            "LLMOS_SNAPSHOT_BYTES": "0",
            "LLMOS_KV_DTYPE": "f16",
            "LLMOS_PREFIX_CACHE": "off",
            "LLMOS_DRAFT_TOKENS": "0",
            "LLMOS_MAX_QUEUED": "0",
            "LLMOS_STUCK_SECONDS": "30",
            "LLMOS_LOAD_SECONDS": "3600",
            "HF_ENDPOINT": "https://mirror.example/",
            "HF_TOKEN": "hf_secret",
        }
    )
    assert settings.database_url == "sqlite:////data/llmos/llmos.db"
    assert settings.owner_key_path == Path("/data/llmos/keys/owner")
    assert (settings.endpoint, settings.endpoint_is_set) == ("http://10.0.0.7:9000", True)
    assert settings.catalog == Path("/etc/catalog.toml")
    assert settings.engine_options == {
        "isa": "avx2", "threads": 3, "kv_bytes": 16 << 30, "snapshot_bytes": 0, "kv_dtype": "f16",
        "prefix_cache": False, "max_draft_tokens": 0, "packed_folder": "/data/llmos/packed",
    }  # fmt: skip
    assert (settings.max_queued, settings.stuck_seconds, settings.load_seconds) == (0, 30, 3600)
    assert (settings.hf_endpoint, settings.hf_token) == ("https://mirror.example", "hf_secret")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLMOS_ISA", "mmx"),
        ("LLMOS_KV_DTYPE", "int4"),
        ("LLMOS_PREFIX_CACHE", "yes"),
        ("LLMOS_DRAFT_TOKENS", "65"),
        ("LLMOS_THREADS", "many"),
        ("LLMOS_THREADS", "0"),
        ("LLMOS_THREADS", "-2"),
        ("LLMOS_THREADS", "9" * 5000),
        ("LLMOS_MAX_QUEUED", "-1"),
        ("LLMOS_STUCK_SECONDS", "0"),
        ("LLMOS_STUCK_SECONDS", "0.5"),
        ("LLMOS_LOAD_SECONDS", "soon"),
    ],
)
def test_an_invalid_value_is_refused_with_its_variable(name, value):
    with pytest.raises(BadRequest, match=f"{name} is '{value}'; it must be") as caught:
        load_settings({name: value})
    assert caught.value.param == name


def test_the_port_is_also_where_commands_look_for_the_server() -> None:
    settings = load_settings({"LLMOS_PORT": "8105"})
    assert (settings.port, settings.endpoint, settings.endpoint_is_set) == (8105, "http://127.0.0.1:8105", False)
    assert load_settings({"LLMOS_PORT": "8105", "LLMOS_ENDPOINT": "http://a:1"}).endpoint == "http://a:1"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_wrong_port_is_refused(port: str) -> None:
    with pytest.raises(BadRequest, match="LLMOS_PORT is"):
        load_settings({"LLMOS_PORT": port})


def test_a_variable_that_is_no_setting_is_named_with_the_nearest() -> None:
    assert unknown_settings({"LLMOS_THREDS": "2", "LLMOS_HOME": "/a", "PATH": "/b"}) == [
        "LLMOS_THREDS is not a setting of LLMOS. Did you mean LLMOS_THREADS?"
    ]


def test_the_variables_of_a_kubernetes_service_are_no_settings() -> None:
    environ = {
        "LLMOS_PORT": "tcp://10.0.0.1:80",
        "LLMOS_SERVICE_HOST": "10.0.0.1",
        "LLMOS_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_settings(environ) == []
    assert load_settings(environ).port == 8000
