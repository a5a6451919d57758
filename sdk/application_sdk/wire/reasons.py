"""Reasons that the operator and the command line both have to know by name."""

from __future__ import annotations

from typing import Final

NO_CONTACT: Final = "NoContact"
"""A driver's pod runs, and hasn't reached the API server."""
ROUTE_NOT_YIELDING: Final = "RouteNotYielding"
"""A driver says that its route computes without ever waiting."""
