"""Not part of this SDK: the App Framework's clients of databases and HTTP APIs. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(
    __name__,
    "the App Framework's clients of databases and HTTP APIs",
    "Use a client library of your choice in a @task.",
)
