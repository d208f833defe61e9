"""A hub that cannot be asked: the variable, the certificate, the token or the proxy that keeps it is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from fake_hub import REPOSITORY, FakeHub
from run_cli import SHARPV, environment, run, scripted
from tiny_model import folder

from sharpv_cli.errors import ModelError
from sharpv_cli.models import hub
from sharpv_cli.models.refusal import Asking, refusal

NOBODY = "http://127.0.0.1:9"


class ProxyError(Exception):
    """As the HTTP client names it."""


@pytest.mark.parametrize(
    ("variables", "said", "hint"),
    [
        (
            {"SSL_CERT_FILE": "/nowhere.pem"},
            "SSL_CERT_FILE is /nowhere.pem, and there is no such file",
            "unset",
        ),
        ({"REQUESTS_CA_BUNDLE": "/nowhere"}, "REQUESTS_CA_BUNDLE is /nowhere", "certificates"),
        ({"HF_ENDPOINT": "hub.example"}, "HF_ENDPOINT is no address of a hub: hub.example", "https://"),
        ({"HF_ENDPOINT": "ftp://hub.example"}, "HF_ENDPOINT is no address", "https://"),
        ({"HF_ENDPOINT": "http://a:99999999"}, "HF_ENDPOINT is no address", "https://"),
        ({"HF_ENDPOINT": "http://a b"}, "HF_ENDPOINT is no address", "https://"),
        ({"HF_ENDPOINT": "http://[bad"}, "HF_ENDPOINT is no address", "https://"),
        (
            {"HF_TOKEN": "hf_tökén"},
            "the token in HF_TOKEN holds characters that are not ASCII",
            "hf auth login",
        ),
        ({"HF_TOKEN": "hf_a\nb"}, "the token in HF_TOKEN holds control characters", "hf auth login"),
        (
            {"https_proxy": "http://x:secret@proxy:9"},
            "through the proxy http://***@proxy:9",
            "check https_proxy",
        ),
        ({"ALL_PROXY": "http://proxy:9"}, "through the proxy http://proxy:9", "check ALL_PROXY"),
        (
            {"https_proxy": "ftp://proxy"},
            "https_proxy is no address of a proxy: ftp://proxy",
            "http://host:port",
        ),
        ({"https_proxy": "proxy:port"}, "https_proxy is no address of a proxy", "http://host:port"),
        ({"https_proxy": "http://proxy:9", "no_proxy": "*"}, "the hub cannot be reached", "where there is"),
        ({}, "the hub cannot be reached", "where there is"),
    ],
)
def test_the_cause_is_named(
    variables: dict[str, str], said: str, hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean(monkeypatch, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    error = refusal("owner/name", None, ProxyError("no way"))

    assert said in str(error)
    assert hint in str(error.hint)
    assert "secret" not in f"{error}{error.hint}"
    assert "hf_" not in f"{error}{error.hint}"


def clean(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    names = ("HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR")
    for name in (*names, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HF_HOME", str(home))


def test_a_token_in_its_file_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean(monkeypatch, tmp_path)
    (tmp_path / "token").write_text("hf_tökén\n", encoding="utf-8")

    assert f"the token in {tmp_path / 'token'}" in str(refusal("owner/name", None, ProxyError()))


def test_nothing_that_the_client_raises_is_a_bug_of_ours() -> None:
    with pytest.raises(ModelError, match="owner/name"), Asking("owner/name"):
        raise KeyError("whatever")
    with pytest.raises(KeyboardInterrupt), Asking("owner/name"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE is /nowhere.pem"),
        ({"HF_ENDPOINT": "hub.example"}, "HF_ENDPOINT is no address of a hub"),
        ({"HF_ENDPOINT": "http://a:99999999"}, "HF_ENDPOINT is no address of a hub"),
        ({"HF_TOKEN": "tökén", "HF_ENDPOINT": NOBODY}, "not ASCII"),
        ({"ALL_PROXY": "socks5://127.0.0.1:9", "HF_ENDPOINT": NOBODY}, "127.0.0.1:9"),
        (
            {"HTTP_PROXY": "http://127.0.0.1:9", "HF_ENDPOINT": "http://hub.invalid"},
            "proxy http://127.0.0.1:9",
        ),
        ({"HF_HUB_ETAG_TIMEOUT": "soon"}, "the hub's client does not work"),
    ],
)
def test_the_command_names_it(variables: dict[str, str], said: str, tmp_path: Path) -> None:
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    without = {name: "" for name in (*proxies, "NO_PROXY") if name in environment(tmp_path)}
    changes = {**without, "HF_HOME": str(tmp_path / "hf"), **variables}

    done = run(scripted("real"), "models", "pull", "owner/name", home=tmp_path, **changes)

    assert (done.returncode, done.stdout) == (4, "")
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: owner/name: ") and said in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_on_the_hub_is_named_before_a_download(whole: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(folder(), source)
    (source / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
    (source / "adapter_model.safetensors").touch()
    if not whole:
        (source / "config.json").unlink()
        (source / "model.safetensors").unlink()
    with FakeHub(source, tmp_path / "hf") as hub:
        done = run(scripted("real"), "models", "pull", REPOSITORY, home=tmp_path, **hub.environment)

    assert done.returncode == 4
    assert "LoRA adapter" in done.stderr
    assert ("owner/base" in done.stderr) != whole
    assert set(hub.downloads()) == {"adapter_config.json"}


def test_without_a_home_nothing_is_downloaded_into_the_working_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")

    with pytest.raises(ModelError, match="no home folder") as refused:
        hub.cache_folder()

    assert "HF_HOME" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        ("models list", {"HF_HUB_CACHE": "/dev/null"}, 4, "the hub's cache"),
        ("models list", {"HF_HUB_CACHE": __file__}, 4, "the hub's cache"),
        ("models list", {"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, 4, "check the variables HF_*"),
        ("doctor", {"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, 4, "transformers cannot be imported"),
        ("models pull owner/name", {"HF_HUB_OFFLINE": "1"}, 4, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE"),
    ],
)
def test_variables_that_are_of_no_use_are_no_bug(
    arguments: str, variables: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    done = run(SHARPV, *arguments.split(), home=tmp_path, **variables)

    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


# Somebody whom the system does not know, as a container's `--user 12345` is, and with no HOME.
HOMELESS = """
import os, pwd, runpy
del os.environ["HOME"]
pwd.getpwuid = {}.__getitem__
runpy.run_module("sharpv_cli", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("models list", 0, "llava-ov-7b"),
        ("models show ~/x.yaml", 2, "~/x.yaml"),
        ("models pull owner/name", 4, "there is no home folder for the hub's cache"),
        ("--install-completion bash", 2, "there is no home folder"),
    ],
)
def test_somebody_without_a_home(arguments: str, code: int, said: str, tmp_path: Path) -> None:
    done = run([sys.executable, "-c", HOMELESS], *arguments.split(), home=tmp_path)

    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
