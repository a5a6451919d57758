"""Not part of this SDK: the App Framework's embedded Temporal and Dapr. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(
    __name__,
    "the App Framework's embedded Temporal and Dapr",
    "None of them is needed: run_dev_combined() and `apprun run` need no service.",
)
