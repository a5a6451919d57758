"""Not part of this SDK: the App Framework's transformers to Atlan's asset types. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(
    __name__,
    "the App Framework's transformers to Atlan's asset types",
    "Transform in a @task.",
)
