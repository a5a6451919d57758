"""The SDK that an AppRun app imports. Start at `application_sdk.app` and `application_sdk.contracts`."""

__version__ = "0.1.0"
"""The same as the distribution's, for images that hold the files alone."""
