"""The contracts of the App Framework's templates that programs derive their own from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.contracts.storage import UploadInput, UploadOutput
from application_sdk.templates.contracts.sql_metadata import ExtractionInput, ExtractionOutput

__all__ = ["ExtractionInput", "ExtractionOutput", "UploadInput", "UploadOutput"]


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
