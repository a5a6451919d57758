"""AppLedger: a page of a long run's older checkpoints. The operator writes it once, drivers read
it."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from application_sdk.wire.fields import PAGE_SIZE
from apprun_operator.api.shapes import LIST_TYPE, RULES, Checkpoint, Shape, rule


class AppLedgerSpec(Shape):
    """The page: checkpoints of one run, in commit order."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("self == oldSelf", "a page of the ledger never changes"),
                rule(
                    f"self.checkpoints[0].sequence == self.number * {PAGE_SIZE}"
                    f" && self.checkpoints[{PAGE_SIZE - 1}].sequence == self.number * {PAGE_SIZE} + {PAGE_SIZE - 1}",
                    f"page n holds the checkpoints from n * {PAGE_SIZE} on",
                    field=".checkpoints",
                ),
            ]
        }
    )

    run: Annotated[str, Field(min_length=1, max_length=63)]
    """The AppRun whose checkpoints these are."""
    number: Annotated[int, Field(ge=0)]
    """Number of the page, from 0."""
    checkpoints: Annotated[
        list[Checkpoint], Field(min_length=PAGE_SIZE, max_length=PAGE_SIZE, json_schema_extra={LIST_TYPE: "atomic"})
    ]
    """The checkpoints, in commit order."""


class AppLedger(Shape):
    """A page of a run's older checkpoints, owned by the run. The newest checkpoints are in the
    run's status."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule(
                    "self.metadata.name.startsWith(self.spec.run + '-')"
                    " && int(self.metadata.name.substring(size(self.spec.run) + 1)) == self.spec.number",
                    "a page is named <run>-<number>",
                    field=".spec.number",
                )
            ]
        }
    )

    spec: AppLedgerSpec
