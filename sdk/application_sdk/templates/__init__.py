"""Not part of this SDK: Atlan's templates of connectors. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(
    __name__,
    "Atlan's templates of connectors",
    "Derive from application_sdk.app.App and write the tasks; examples/ has a connector.",
)
