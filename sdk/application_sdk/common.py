"""Not part of this SDK: the App Framework's helpers for Atlan's connectors. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(
    __name__,
    "the App Framework's helpers for Atlan's connectors",
    "Write what you need of them into your app.",
)
