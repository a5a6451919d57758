"""Definitions of apps and tasks, engines as a port, and what attempts and routes share. It imports neither of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

_LATER = {"retry": "RetryPolicy retry_product_seconds"}
_FUNCTIONS = (
    "build_output_path create_data_converter create_data_converter_for_app create_temporal_client create_worker "
    "get_object_store_prefix needs_lock retry_product_seconds"
)


if TYPE_CHECKING:
    from application_sdk.execution.retry import RetryPolicy as RetryPolicy
    from application_sdk.execution.retry import retry_product_seconds as retry_product_seconds
else:

    def __getattr__(name):
        if name[0].islower() and name not in _FUNCTIONS.split():
            # The import system asks for each submodule before it looks for its file: pods load nothing for that.
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)
