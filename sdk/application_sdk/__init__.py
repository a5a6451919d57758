"""The SDK that an AppRun app imports. Start at `application_sdk.app` and
`application_sdk.contracts`."""

import sys

__version__ = "0.1.0"
"""The same as the distribution's, for images that hold the files alone."""


class _OutOfScope:
    """An import hook behind all others, so it is asked for modules that nothing has found: those of
    the App Framework that this SDK doesn't have are refused with what to use in their place."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.startswith("application_sdk."):
            from application_sdk.unsupported_imports import refuse_module

            refuse_module(name)


sys.meta_path.append(_OutOfScope)
