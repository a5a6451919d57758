"""Which store this process uses: from the environment, or from the engine that runs here.

    APPRUN_STORE_URL       s3://bucket/prefix, gs://…, az://account/container, file:///folder
    APPRUN_STORE_OPTIONS   JSON object of further options, as obstore names them
    /apprun/store          a file for each secret option, as a Secret is mounted

obstore reads the usual variables of each cloud as well (AWS_…, GOOGLE_…, AZURE_…).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from application_sdk.storage.errors import StoreNotConfiguredError
from application_sdk.storage.store import Store
from application_sdk.wire.names import STORE_DIRECTORY, STORE_OPTIONS_VARIABLE, STORE_URL_VARIABLE

_SECRET: Final = re.compile(r"key|secret|token|password|sas|credential", re.IGNORECASE)
_CLOUDS: Final = ("AWS_", "AZURE_", "GOOGLE_")
SCHEMES: Final = ("s3", "gs", "az", "abfss", "file")
_NOT_CONFIGURED: Final = (
    "there is no store for files here. On a cluster set spec.storage of the App, or a ConfigMap 'apprun-store' with "
    f"{STORE_URL_VARIABLE} in its namespace; elsewhere the environment variable {STORE_URL_VARIABLE}, for example "
    "s3://bucket/prefix or file:///some/folder"
)


class StoreConfig(NamedTuple):
    """Where a store is and how to get in. Its options may be secrets."""

    url: str
    options: Mapping[str, str]
    environment: Mapping[str, str] = {}
    """Where obstore finds further options."""

    def secrets(self) -> Iterator[str]:
        """Values that nobody else may see."""
        for name, value in self.options.items():
            if _SECRET.search(name):
                yield value
        for name, value in self.environment.items():
            if name.startswith(_CLOUDS) and _SECRET.search(name):
                yield value

    def open(self) -> Store:
        """The store. Makes no request yet. Raises StoreNotConfiguredError."""
        scheme = self.url.partition("://")[0]
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise StoreNotConfiguredError(f"{STORE_URL_VARIABLE} has to begin with one of {known}, not with {scheme!r}")
        if scheme == "file":
            # Each kind of store loads its own library, if at all.
            from application_sdk.storage.folder import FolderStore

            path = Path(unquote(urlsplit(self.url).path))
            if not path.is_absolute() or ".." in path.parts:
                raise StoreNotConfiguredError(f"{self.url} names no folder: write file:// and an absolute path")
            return FolderStore(path)
        from application_sdk.storage.remote import RemoteStore

        return RemoteStore.open(self.url, self.options)


def from_environment(environment: Mapping[str, str], secrets: Path = Path(STORE_DIRECTORY)) -> StoreConfig:
    """The store that the surroundings name. Raises StoreNotConfiguredError when they name none."""
    url = environment.get(STORE_URL_VARIABLE, "").strip()
    if not url:
        raise StoreNotConfiguredError(_NOT_CONFIGURED)
    options = {**_options(environment.get(STORE_OPTIONS_VARIABLE, "")), **_secret_options(secrets)}
    return StoreConfig(url, options, environment)


def _options(text: str) -> dict[str, str]:
    try:
        options = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise StoreNotConfiguredError(f"{STORE_OPTIONS_VARIABLE} is no JSON: {error}") from error
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise StoreNotConfiguredError(f'{STORE_OPTIONS_VARIABLE} is no JSON object of text, such as {{"region": "eu"}}')
    return options


def _secret_options(folder: Path) -> dict[str, str]:
    """The mounted Secret's keys. Read anew for each store that is opened, so that a rotated one
    counts."""
    try:
        files = [place for place in folder.iterdir() if not place.name.startswith(".") and place.is_file()]
        if not files:
            raise StoreNotConfiguredError(
                f"there are no credentials for the store in {folder}: does the Secret of App.spec.storage.secretRef "
                "exist in this namespace, and has it keys such as access_key_id and secret_access_key?"
            )
        return {place.name: place.read_text("utf-8").strip() for place in sorted(files)}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise StoreNotConfiguredError(
            f"the store's credentials in {folder} can't be read: {type(error).__name__}"
        ) from None
