"""Templates of connectors are not part of this SDK; `templates.contracts` has their two plain contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
