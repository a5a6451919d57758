"""The kit's own fixtures, as a user's suite gets them."""

from application_sdk.testing.fixtures import *  # noqa: F403
