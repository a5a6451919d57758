"""What can be wrong with a credential. No message has a value in it, only names of fields.

None of these goes away by itself, so a task that raises one fails at once.
"""

from __future__ import annotations

from application_sdk.errors import NonRetryableError


class CredentialError(NonRetryableError):
    """A credential can't be had or can't be used."""


class CredentialNotFoundError(CredentialError):
    """The store has nothing under the reference's name."""


class CredentialParseError(CredentialError):
    """What is stored isn't a credential of the reference's type."""


class CredentialValidationError(CredentialError):
    """The fields of a credential don't fit together. For parsers of an app's own types: the SDK
    itself raises CredentialParseError."""
