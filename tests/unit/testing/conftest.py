"""The kit's own fixtures, as a user's suite gets them."""

from application_sdk.testing.plugin import *  # noqa: F403
