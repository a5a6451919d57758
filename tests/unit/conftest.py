"""What no unit test leaves behind for the next one of its process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from application_sdk.execution import redaction


@pytest.fixture(autouse=True)
def no_hidden_values() -> Iterator[None]:
    """The secrets of one test aren't masked in the texts of another one: the registry is the process's."""
    yield
    redaction.clear()
