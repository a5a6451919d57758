"""Names of the App Framework that this SDK doesn't have. Importing one says so, and what to use in
its place.

The import hook of `application_sdk` asks `refuse_module` for modules that nothing else has found,
packages ask `refuse_name` for names. So neither costs anything until it refuses.
"""

from __future__ import annotations

from typing import Final, NoReturn

_ROOT: Final = "application_sdk."


class AtlanOnlyError(ImportError):
    """What was imported is part of the App Framework's own platform, not of this SDK."""


_CLIENT: Final = "It is Atlan's API client; call that API from a @task with a client of your own"
_TOKEN: Final = "It is a token for Atlan's API; bearer_token_ref() and oauth_client_ref() are for any API"
_AGENT: Final = "It reads the credential format of Atlan's agents; give a reference, such as basic_ref('my-db')"
_GUID: Final = "It is an id in Atlan's credential vault; name the secret instead, such as basic_ref('my-db')"
_TEMPORAL: Final = "There is no Temporal here: runs are executed by `apprun run`, run_dev_combined() or the operator"
_TEMPORAL_ERROR: Final = "There is no Temporal here: a route catches TaskFailedError of application_sdk.app"
_DAPR: Final = "There is no Dapr here: tasks use self.context.get_secret(), save_state() and storage"
_DAPR_ERROR: Final = "There is no Dapr here: catch DependencyUnavailableError or SecretStoreError"
_PUBSUB: Final = "Nothing is published or subscribed to here: start a run with POST /workflows/v1/start"
_BINDING: Final = "There are no Dapr bindings here: call the other system from a @task with a client of your own"
_CAPACITY: Final = "There are no capacity pools here: give tasks cpu and memory, and the App limits for its pods"
_STORE_BINDING: Final = "A store is named by APPRUN_STORE_URL or spec.storage of the App, not by a Dapr component"
_SIDECAR: Final = "Digests are kept with references, so there are no files beside the data; use list_keys()"
_PREFLIGHT: Final = "`apprun doctor` checks the store of a namespace"
_SERVICE: Final = "An app is served by `apprun run --handler`, by run_dev_combined() or by its App's spec.handler"
_TEMPLATE: Final = "Derive from application_sdk.app.App and write the tasks; examples/ has a connector"
_STEP: Final = "It belongs to a step of a template. Write an Input or Output with the fields that your task uses"
_OUTPUT_PATH: Final = "A task writes below self.task_context.scratch and returns FileReference.from_local(path)"

_NAMES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "app": (
        ("AtlanClientMixin", _CLIENT),
        (
            "EntryPointMetadata",
            "App.definition.entrypoints has them, as EntrypointDefinition of execution.definition",
        ),
        ("TaskMetadata", "App.definition.tasks and TaskRegistry have it, as TaskDefinition of execution.definition"),
        ("InteractionUnfinishedPolicy", "Runs take no signals, queries and updates: let a task ask instead"),
        ("entrypoint_module_segment", "It names modules that PKL contracts generate, which this SDK doesn't read"),
        ("mcp_tool", "Tasks aren't offered over MCP: call POST /workflows/v1/start from a tool of your own"),
    ),
    "contracts": (("ContractMetadata", "`apprun manifest` has each contract with its JSON Schema"),),
    "credentials": (
        ("AtlanClientMixin create_async_atlan_client", _CLIENT),
        ("AtlanApiToken AtlanOAuthClient atlan_api_token_ref atlan_oauth_client_ref", _TOKEN),
        ("legacy_credential_ref", _GUID),
        (
            "AGENT_JSON_ALIASES camel_to_kebab declared_agent_spec_type expand_dotted_keys kebab_to_camel "
            "lift_agent_json normalize_agent_json transform_agent_credentials",
            _AGENT,
        ),
        (
            "OAuthTokenError OAuthTokenService",
            "Get tokens in a @task with a client library of your choice",
        ),
    ),
    "errors": (
        ("ColdStartRaceError DaprSidecarUnreachableError", _DAPR_ERROR),
        ("WORKER_EVICTED_TYPE", "A pod that the cluster takes away is replaced, and counts against no retries"),
    ),
    "execution": (
        (
            "AppWorker TemporalAuthConfig TemporalAuthManager TemporalClient TemporalExecutorBackend "
            "create_data_converter create_data_converter_for_app create_temporal_client create_worker",
            _TEMPORAL,
        ),
        (
            "TemporalActivityError TemporalCancelledError TemporalChildWorkflowError TemporalTerminatedError "
            "TemporalTimeoutError TemporalWorkflowFailureError",
            _TEMPORAL_ERROR,
        ),
        ("ApplicationError", "Raise RetryableError, NonRetryableError or an error of application_sdk.errors"),
        ("build_output_path get_object_store_prefix", _OUTPUT_PATH),
        ("needs_lock", "A lock needs a service of yours; start runs under one name to have one at a time"),
    ),
    "handler": (("create_app_handler_service run_app_handler_service", _SERVICE),),
    "infrastructure": (
        ("AsyncDaprClient DaprBinding DaprCredentialVault DaprPubSub DaprSecretStore DaprStateStore", _DAPR),
        ("DAPR_SECRET_STORE_COMPONENT get_deployment_secret retry_past_dapr_cold_start", _DAPR),
        ("SecretStoreUnavailableError SecretStoreUnreachableError", _DAPR_ERROR),
        ("Binding BindingError BindingRequest BindingResponse InputBinding OutputBinding", _BINDING),
        ("Message MessageHandler PubSub PubSubError Subscription", _PUBSUB),
        ("CapacityPool LocalCapacityPool configure_capacity_pool get_capacity_pool", _CAPACITY),
        ("CredentialVault CredentialVaultError", _GUID),
    ),
    "observability": (
        ("set_execution_context", "The engine says who runs; get_execution_context() reads it"),
        ("correlation_context", "Use get_correlation_context() and set_correlation_context()"),
        ("request_context", "A handler's self.context knows the request that it answers"),
    ),
    "storage": (
        ("BindingSecretRefs SecretMap read_binding_secret_refs set_fetched_binding_secrets", _STORE_BINDING),
        ("StorageBindingBrokenError StorageBindingNotFoundError create_store_from_binding", _STORE_BINDING),
        ("create_store_from_binding_optional create_store_from_binding_with_put_attrs", _STORE_BINDING),
        ("BoundStore CloudStore", "Give the functions of storage a store, such as create_local_store(folder)"),
        ("SIDECAR_SUFFIX is_sidecar_key", _SIDECAR),
        ("ObjectStoreCheckResult ObjectStorePreflightError check_object_store_access", _PREFLIGHT),
        ("verify_object_store_access", _PREFLIGHT),
        (
            "DataObject get_file_meta list_data_keys_with_meta list_data_objects list_keys_with_meta",
            "self.context.storage.list(prefix) gives each object with its size",
        ),
        ("download_file_chunked", "download_file() reads large files in pieces by itself"),
    ),
    "templates": (
        (
            "BaseMetadataExtractor IncrementalSqlMetadataExtractor SqlApp SqlMetadataExtractor SqlQueryExtractor",
            _TEMPLATE,
        ),
    ),
    "templates.contracts": (
        (
            "ExecuteColumnBatchInput ExecuteColumnBatchOutput FetchColumnsIncrementalInput FetchColumnsInput "
            "FetchColumnsOutput FetchDatabasesInput FetchDatabasesOutput FetchIncrementalMarkerInput "
            "FetchIncrementalMarkerOutput FetchProceduresInput FetchProceduresOutput FetchSchemasInput "
            "FetchSchemasOutput FetchTablesIncrementalInput FetchTablesInput FetchTablesOutput FetchViewsInput "
            "FetchViewsOutput IncrementalExtractionInput IncrementalExtractionOutput IncrementalRunContext "
            "IncrementalTaskInput PrepareColumnQueriesInput PrepareColumnQueriesOutput PrimeAuthOutput "
            "QueryBatchInput QueryBatchOutput QueryExtractionInput QueryExtractionOutput QueryFetchInput "
            "QueryFetchOutput ReadCurrentStateInput ReadCurrentStateOutput TransformInput TransformOutput "
            "UpdateMarkerInput UpdateMarkerOutput WriteCurrentStateInput WriteCurrentStateOutput",
            _STEP,
        ),
    ),
    "testing": (
        ("MockBinding mock_binding", _BINDING),
        ("MockPubSub mock_pubsub", _PUBSUB),
    ),
}
"""By package: names, joined by spaces, and what to use in their place."""

_MODULES: Final[dict[str, tuple[str, str]]] = {
    "app.client": ("Atlan's API client", "Call that API from a @task with a client of your own"),
    "clients": (
        "the App Framework's clients of databases and HTTP APIs",
        "Use a client library of your choice in a @task",
    ),
    "common": ("the App Framework's helpers for Atlan's connectors", "Write what you need of them into your app"),
    "components": ("the App Framework's Dapr components", _DAPR),
    "constants": ("the App Framework's settings", "Read an environment variable of your own in a @task"),
    "contracts.cleanup": ("tasks that clean up", "Files are removed with their run, by their StorageTier"),
    "contracts.compat": ("contracts of earlier versions", "is_backwards_compatible() compares two contracts"),
    "contracts.events": ("events of Atlan's platform", _PUBSUB),
    "credentials.agent": ("the credential format of Atlan's agents", "Give a reference, such as basic_ref('my-db')"),
    "credentials.atlan": (
        "tokens for Atlan's API",
        "bearer_token_ref() and oauth_client_ref() are for any API",
    ),
    "credentials.atlan_client": ("Atlan's API client", "Call that API from a @task with a client of your own"),
    "credentials.ingress": ("the credential format of Atlan's agents", "Give a reference, such as basic_ref('my-db')"),
    "credentials.oauth": ("a client for OAuth tokens", "Get tokens in a @task with a client library of your choice"),
    "dev": (
        "the App Framework's embedded Temporal and Dapr",
        "None of them is needed: run_dev_combined() and `apprun run` need no service",
    ),
    "discovery": ("the App Framework's search for apps", "Name the app: `apprun run module:Class`"),
    "execution._temporal": ("the App Framework's use of Temporal", _TEMPORAL),
    "execution.decorators": ("a lock around tasks", "Start runs under one name to have one at a time"),
    "execution.errors": ("Temporal's errors", "Raise RetryableError, NonRetryableError or an AppError"),
    "execution.sandbox": ("Temporal's sandbox", "Routes are guarded without one: see docs/determinism.md"),
    "execution.settings": ("settings of Temporal workers", _TEMPORAL),
    "handler.manifest": ("manifests of Atlan's automation engine", "`apprun manifest` prints the app's own"),
    "handler.service": ("the App Framework's handler service", _SERVICE),
    "infrastructure._dapr": ("the App Framework's use of Dapr", _DAPR),
    "infrastructure._redis": ("the App Framework's use of Redis", _CAPACITY),
    "infrastructure.bindings": ("Dapr's bindings", _BINDING),
    "infrastructure.capacity": ("capacity pools", _CAPACITY),
    "infrastructure.credential_vault": ("Atlan's credential vault", "Name the secret, such as basic_ref('my-db')"),
    "infrastructure.pubsub": ("Dapr's publishing and subscribing", _PUBSUB),
    "outputs": ("the App Framework's collector of outputs", "Return numbers and files in the Output of run()"),
    "server.fastapi": ("the App Framework's server", _SERVICE),
    "server.mcp": ("a server for MCP", "Call POST /workflows/v1/start from a tool of your own"),
    "server.middleware": ("the App Framework's server", _SERVICE),
    "storage.binding": ("stores that Dapr components describe", _STORE_BINDING),
    "storage.cloud": ("stores that credentials describe", _STORE_BINDING),
    "storage.formats": (
        "readers and writers of Parquet and JSON files",
        "Write files with a library of your choice below self.task_context.scratch",
    ),
    "templates": ("the App Framework's templates of connectors", _TEMPLATE),
    "test_utils": ("the App Framework's tests of Atlan's connectors", "application_sdk.testing has run_app()"),
    "testing.e2e": ("tests against Atlan's platform", "application_sdk.testing has run_app() and replay()"),
    "testing.full_dag": ("tests against Atlan's platform", "application_sdk.testing has run_app() and replay()"),
    "testing.hypothesis": ("strategies for Atlan's connectors", "Write strategies for your own contracts"),
    "testing.integration": ("tests against Atlan's platform", "application_sdk.testing has run_app() and replay()"),
    "testing.parity": ("comparisons of Atlan's assets", "Compare the outputs of two runs in a test of yours"),
    "testing.scale_data_generator": ("a generator of test data", "Generate it in a script of yours"),
    "testing.sdr": ("tests of Atlan's agents", "application_sdk.testing has run_app() and replay()"),
    "tools": ("the App Framework's tools for Atlan's platform", "Secrets of a laptop: see docs/credentials.md"),
    "transformers": ("the App Framework's transformers to Atlan's types", "Transform in a @task"),
    "validation": ("checks of Atlan's assets", "Check the records in a @task"),
}
"""By module, for itself and all in it: what it is in the App Framework, and what to use in its
place."""


def refuse_module(module: str) -> None:
    """Raise AtlanOnlyError if the module, or one that it is in, is out of scope."""
    within = module.removeprefix(_ROOT)
    while within:
        if within in _MODULES:
            what, instead = _MODULES[within]
            raise AtlanOnlyError(f"{module} is not part of this SDK: {what}. {instead}.", name=module)
        within = within.rpartition(".")[0]


def refuse_name(module: str, name: str) -> NoReturn:
    """For a package's `__getattr__`. Raises AtlanOnlyError for a name that is out of scope, else
    AttributeError."""
    for names, instead in _NAMES.get(module.removeprefix(_ROOT), ()):
        if name in names.split():
            raise AtlanOnlyError(f"{module}.{name} is not part of this SDK. {instead}.", name=module)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
