"""The kinds of objects that the operator watches, by their plural names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from application_sdk.wire import names

Kind: TypeAlias = Literal["apps", "appruns", "apptasks", "appledgers", "appstates", "appworkers", "pods"]

KIND_NAMES: Final[Mapping[Kind, str]] = {"apptasks": names.APP_TASK_KIND, "appledgers": names.APP_LEDGER_KIND}
"""The kinds a run consists of. Pods are missing: Kubernetes validates them, so each can be read."""
