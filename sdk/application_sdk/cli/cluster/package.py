"""From an app's file to the objects that a cluster needs of it: a ConfigMap with its code, and an App. Sends nothing.

The ConfigMap's name carries a digest of its content: changed code is another, and a run that has begun keeps its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.errors import InputError
from application_sdk.cli.output import app_output
from application_sdk.wire import names

APP_LABEL: Final = f"{names.GROUP}/app"
"""Of a ConfigMap with code: the App that it was deployed for."""
MAX_BYTES: Final = 1000 * 1024
"""A ConfigMap holds 1 MiB in all."""
DIGITS: Final = 10
_NAME_MAX: Final = 63
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an App says beside its code. Empty fields leave it to the operator."""

    name: str = ""
    image: str = ""
    service_account: str = ""
    parallelism: int | None = None
    files: tuple[Path, ...] = ()
    """Further files that go along."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is to be applied, code first."""

    name: str
    app: Object
    config_map: Object | None = None

    @property
    def objects(self) -> list[Object]:
        return [self.app] if self.config_map is None else [self.config_map, self.app]


def pack(target: str, working_directory: Path, settings: Settings) -> Package:
    """The objects of an app. It is imported, so what is wrong with it is said before any pod starts.

    With an image and an app of the form `module:Class` nothing is imported, since the code is in the image.
    Raises AppLoadError and InputError.
    """
    if settings.image and not _is_file(target):
        if ":" not in target:
            raise InputError(f"{target!r} names no class. With --image give `module:Class`, as it is in the image")
        return _package(settings.name or _slug(target.rpartition(":")[2]), target, settings, {})
    from application_sdk.engines.local.source import find_source

    with app_output():
        source = find_source(target, working_directory)
        app_class = source.load()
    name = settings.name or _slug(app_class.definition.name)
    directory = Path(source.directory)
    module = source.entry.partition(":")[0]
    files: dict[str, str] = {}
    if not settings.image:
        if "." in module or not (directory / f"{module}.py").is_file():
            raise InputError(
                f"{target} is in a package, and a ConfigMap holds single files only. Build an image with the package in"
                f" it, and give --image; or keep the app in files of one folder"
            )
        files = _files(directory, module)
        _refuse_packages(directory, target)
    for path in settings.files:
        files[path.name] = _read(path)
    return _package(name, source.entry, settings, files)


def _package(name: str, entry: str, settings: Settings, files: Mapping[str, str]) -> Package:
    if not re.fullmatch(names.RUN_NAME_PATTERN, name) or len(name) > _NAME_MAX - DIGITS - 1:
        raise InputError(
            f"{name!r} can't be the name of an App: use up to {_NAME_MAX - DIGITS - 1} lower-case letters, digits and"
            " dashes, with --name"
        )
    spec: dict[str, Any] = {"entry": entry}
    config_map = _config_map(name, files) if files else None
    if settings.image:
        spec["image"] = settings.image
    if config_map is not None:
        spec["source"] = {"configMap": {"name": config_map["metadata"]["name"]}}
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    if settings.parallelism is not None:
        spec["parallelism"] = settings.parallelism
    app: Object = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_KIND,
        "metadata": {"name": name},
        "spec": spec,
    }
    return Package(name, app, config_map)


def _config_map(name: str, files: Mapping[str, str]) -> Object:
    size = sum(len(key) + len(text.encode("utf-8", "surrogateescape")) for key, text in files.items())
    if size > MAX_BYTES:
        raise InputError(
            f"the code is {size:,} bytes long, and a ConfigMap holds {MAX_BYTES:,}. Build an image, and give --image"
        )
    content = sha256()
    for key in sorted(files):
        if not _KEY.fullmatch(key):
            raise InputError(f"{key!r} can't be a file in a ConfigMap: use letters, digits, dots, dashes, underscores")
        content.update(f"{key}\0{len(files[key])}\0{files[key]}\0".encode())
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-{content.hexdigest()[:DIGITS]}", "labels": {APP_LABEL: name}},
        "immutable": True,
        "data": {key: files[key] for key in sorted(files)},
    }


def _files(directory: Path, module: str) -> dict[str, str]:
    """The app's file, and those beside it that it has imported."""
    files = {f"{module}.py": _read(directory / f"{module}.py")}
    for name, loaded in list(sys.modules.items()):
        file = getattr(loaded, "__file__", None)
        if file and "." not in name and Path(file).parent == directory and Path(file).suffix == ".py":
            files[Path(file).name] = _read(Path(file))
    return files


def _refuse_packages(directory: Path, target: str) -> None:
    for loaded in list(sys.modules.values()):
        file = getattr(loaded, "__file__", None)
        if file and Path(file).name == "__init__.py" and Path(file).parent.parent == directory:
            raise InputError(
                f"{target} imports the package {Path(file).parent.name!r} beside it, and a ConfigMap holds single files"
                " only. Build an image, and give --image"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} isn't text in UTF-8: it can't be in a ConfigMap") from error


def _slug(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return names.slug(spaced) or "app"


def _is_file(target: str) -> bool:
    path = target.rpartition(":")[0] if ":" in target else target
    return path.endswith(".py") or "/" in path
