"""Kinds of objects that the operator watches, by the names that the API server has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from application_sdk.wire import names

Kind: TypeAlias = Literal["apps", "appruns", "apptasks", "appledgers", "appstates", "pods"]

KIND_NAMES: Final[Mapping[Kind, str]] = {"apptasks": names.APP_TASK_KIND, "appledgers": names.APP_LEDGER_KIND}
"""What a run is made of. Pods are Kubernetes' own: there are none that can't be read."""
