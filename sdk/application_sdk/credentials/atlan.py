"""Not part of this SDK: tokens for Atlan's API. Importing this says so."""

from application_sdk.outofscope import refuse_module

refuse_module(__name__, "tokens for Atlan's API", "bearer_token_ref() and oauth_client_ref() are for any API.")
