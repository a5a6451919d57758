"""Templates of connectors are not part of this SDK; `templates.contracts` has their two plain contracts."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    from application_sdk.lazily import load

    return load(__name__, name, {})
