"""Manifests as files: `apprun manifest` writes them, `--check` reads one back."""

from __future__ import annotations

from typing import cast

from application_sdk.app.manifest import FORMAT, Manifest
from application_sdk.cli.errors import InputError
from application_sdk.wire.digest import JSON


def read_manifest(value: JSON, origin: str) -> Manifest:
    """A manifest that was written earlier. Raises InputError when it is none, or of a newer format."""
    if not isinstance(value, dict) or "manifest" not in value:
        raise InputError(f"{origin} is no manifest; write one with `apprun manifest APP > {origin}`")
    if value["manifest"] != FORMAT:
        raise InputError(f"{origin} is a manifest of format {value['manifest']}, and this apprun knows format {FORMAT}")
    return cast("Manifest", value)
