"""Not part of this SDK: Atlan's API client. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(__name__, "Atlan's API client", "Call that API from a @task with a client of your own.")
