"""Why the hub gave nothing, by its real cause: the repository, the network, or a variable of this machine."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import TracebackType
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from sharpv_cli.errors import ModelError, SharpvError
from sharpv_cli.text import shown

_ENDPOINT = "HF_ENDPOINT"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_HUB = "https://huggingface.co"
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_UNSUPPORTED = "it begins with http:// or https://"


class Asking:
    """Whatever is raised while the hub's client is imported or asked becomes a ModelError that names the cause."""

    def __init__(self, name: str, revision: str | None = None) -> None:
        self._name, self._revision = name, revision
        self._aside = redirect_stdout(StringIO())  # where the client prints that it cannot be imported

    def __enter__(self) -> None:
        self._aside.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._aside.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, SharpvError):
            raise refusal(self._name, self._revision, error) from error


def import_framework(name: str) -> None:
    """Import PyTorch or transformers. Raises ModelError for a variable that they read then and cannot use."""
    try:
        import_module(name)
    except ValueError as error:
        raise ModelError(
            f"{name} cannot be imported: {error}", hint="check the variables HF_*, TRANSFORMERS_* and TORCH_*"
        ) from error


def refusal(name: str, revision: str | None, error: Exception) -> ModelError:
    """What is wrong with a variable of this machine comes first: nothing else can be told apart then."""
    if _answered(error):
        return _of_the_hub(name, revision, error)
    if (problem := _of_a_variable(os.environ, error)) is not None:
        what, hint = problem
        return ModelError(f"{name}: the hub cannot be asked: {what}", hint=hint)
    return _of_the_hub(name, revision, error)


def folder_here(name: str) -> str:
    """As the end of a hint: how to name a folder in the working directory that is called as a model on the hub is."""
    return f"; the folder of that name here is ./{name}" if os.path.isdir(name) else ""  # noqa: PTH112


def _answered(error: Exception) -> bool:
    """Whether the hub was reached, or there was no need to: then variables are not to blame."""
    return getattr(error, "response", None) is not None or type(error).__name__ == "HFValidationError"


def _of_a_variable(environ: Mapping[str, str], error: Exception) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    return (
        _wrong_endpoint(environ)
        or _wrong_certificates(environ, error)
        or _wrong_token(environ)
        or _wrong_proxy(environ, error)
    )


def _wrong_endpoint(environ: Mapping[str, str]) -> tuple[str, str] | None:
    value = environ.get(_ENDPOINT)
    address = _address(value) if value and not any(map(str.isspace, value)) else None
    if not value or (address is not None and address.scheme in ("http", "https") and address.hostname):
        return None
    return f"{_ENDPOINT} is no address of a hub: {shown(_without_password(value))}", _UNSUPPORTED


def _wrong_certificates(environ: Mapping[str, str], error: Exception) -> tuple[str, str] | None:
    for name in _CERTIFICATES:
        value = environ.get(name)
        if value and not os.access(value, os.R_OK):
            what = "there is no such file" if not os.path.exists(value) else "it cannot be read"  # noqa: PTH110
            return f"{name} is {shown(value)}, and {what}", "name a file of certificates, or unset it"
    found = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if found is None:
        return None
    named = " and ".join(name for name in _CERTIFICATES if environ.get(name))
    why = getattr(found, "verify_message", None) or str(found)
    hint = (
        f"check {named}" if named else "behind a proxy that reads along, SSL_CERT_FILE names its certificate"
    )
    return f"certificates: {why}", hint


def _wrong_token(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """A token goes into a header. It is never shown."""
    stored = Path(environ.get("HF_TOKEN_PATH") or _home(environ) / "token")
    values = {name: environ[name].strip() for name in _TOKENS if environ.get(name)}
    with suppress(OSError):
        values[str(stored)] = stored.read_text(encoding="utf-8", errors="replace").strip()
    for name, value in values.items():
        if not (value.isascii() and value.isprintable()):
            what = "control characters" if value.isascii() else "characters that are not ASCII"
            return f"the token in {shown(name)} holds {what}", "log in again with `hf auth login`"
    return None


def _home(environ: Mapping[str, str]) -> Path:
    cache = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    return Path(environ.get("HF_HOME") or Path(cache) / "huggingface")


def _wrong_proxy(environ: Mapping[str, str], error: Exception) -> tuple[str, str] | None:
    """Only a proxy whose address is wrong, or that was asked and could not be reached."""
    hub = urlsplit(environ.get(_ENDPOINT) or _HUB)
    proxies = {} if proxy_bypass(hub.hostname or "") else getproxies_environment()
    value = proxies.get(hub.scheme) or proxies.get("all")
    if not value:
        return None
    name = next(name for name, given in environ.items() if given == value and name.lower().endswith("_proxy"))
    said = shown(_without_password(value))
    address = _address(value if "://" in value else f"http://{value}")
    if address is None or address.scheme not in _PROXY_SCHEMES or not address.hostname:
        return f"{name} is no address of a proxy: {said}", "it looks like http://host:port"
    kinds = {type(cause).__name__ for cause in _causes(error)}
    if "ImportError" in kinds:
        return f"{name} names a SOCKS proxy ({said}), which needs socksio", "pip install 'httpx[socks]'"
    if kinds & {"ProxyError", "ConnectError", "ConnectTimeout"}:
        return f"no way to it through the proxy {said}: {error}", f"check {name} and the network"
    return None


def _address(value: str) -> SplitResult | None:
    try:
        address = urlsplit(value)
        address.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return None
    return address


def _without_password(value: str) -> str:
    before, at, after = value.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme if slashes else ''}{slashes}...@{after}" if at else value


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_the_hub(name: str, revision: str | None, error: Exception) -> ModelError:
    """In words; order matters, a gated repository being a kind of missing one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "HFValidationError" in kinds:
        return ModelError(f"{name}: neither a folder nor a hub id", hint="hub ids look like owner/name")
    if "GatedRepoError" in kinds or status == 403:
        return ModelError(
            f"{name}: the hub gives it only to accounts with access",
            hint="ask for access on its page, then log in with `hf auth login`",
        )
    if "RevisionNotFoundError" in kinds:
        return ModelError(f"{name}: no revision {revision!r}", hint="check --revision")
    if "RepositoryNotFoundError" in kinds:
        return ModelError(
            f"{name}: no such model on the hub",
            hint=f"check the name, or log in if private{folder_here(name)}",
        )
    if status == 401:
        return ModelError(
            f"{name}: the hub does not accept your token", hint="log in again with `hf auth login`"
        )
    if isinstance(error, OSError) and status is None and error.errno is not None:
        return ModelError(
            f"{name}: the hub's cache cannot be used: {error}",
            hint="check HF_HOME, HF_HUB_CACHE and the disk",
        )
    if isinstance(error, ValueError | ImportError):
        return ModelError(f"{name}: the hub's client does not work: {error}", hint="check the variables HF_*")
    why = f"it answered {status}" if status else "check the network"
    if "OfflineModeIsEnabled" in {type(cause).__name__ for cause in _causes(error)}:
        why = "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it"
    return ModelError(
        f"{name}: not in the local cache, and the hub cannot be reached ({why})",
        hint=f"--model ./FOLDER with a copy, or `sharpv models pull {name}` where there is a network"
        f"{folder_here(name)}",
    )
