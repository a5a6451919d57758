"""The public names of the App Framework's packages (`__all__`, version 3.28.3), and those that are refused here."""

from __future__ import annotations

from typing import Final

NAMES: Final[dict[str, str]] = {
    "app": (
        "App AppContext AppError AppRegistry AtlanClientMixin EntryPointMetadata Input InteractionUnfinishedPolicy "
        "NonRetryableError Output OutputStatus RetryPolicy RetryableError TaskMetadata TaskRegistry entrypoint "
        "entrypoint_module_segment mcp_tool now query signal sleep task update uuid4 wait_condition "
    ),
    "contracts": (
        "BoundedDict BoundedList ConnectionRef ContractMetadata ContractValidationError DownloadInput DownloadOutput "
        "FileReference GitReference HeartbeatDetails Input InputContract Lazy MaxItems Output OutputContract "
        "PayloadSafetyError PublishInputMixin Record SerializableEnum StorageTier UploadInput UploadOutput "
        "get_contract_fields has_default is_backwards_compatible validate_is_contract validate_payload_safety "
    ),
    "credentials": (
        "AGENT_JSON_ALIASES AgentCredentialSpec ApiKeyCredential AtlanApiToken AtlanClientMixin AtlanOAuthClient "
        "BasicCredential BearerTokenCredential CertificateCredential Credential CredentialError "
        "CredentialNotFoundError CredentialParseError CredentialRef CredentialResolvable CredentialResolver "
        "CredentialTypeRegistry CredentialValidationError GitSshCredential GitTokenCredential OAuthClientCredential "
        "OAuthTokenError OAuthTokenService RawCredential api_key_ref atlan_api_token_ref atlan_oauth_client_ref "
        "basic_ref bearer_token_ref camel_to_kebab certificate_ref create_async_atlan_client declared_agent_spec_type "
        "expand_dotted_keys get_registry git_ssh_ref git_token_ref kebab_to_camel legacy_credential_ref "
        "lift_agent_json normalize_agent_json oauth_client_ref parse_credentials_extra register_credential_type "
        "transform_agent_credentials "
    ),
    "errors": (
        "APP_ALREADY_REGISTERED APP_CONTEXT_ERROR APP_ERROR APP_NON_RETRYABLE APP_NOT_FOUND AlreadyExistsError "
        "AppError AppPermissionDeniedError AppTimeoutError Audience AuthError BINDING_ERROR CONTRACT_VALIDATION "
        "CREDENTIAL_ERROR CREDENTIAL_NOT_FOUND CREDENTIAL_PARSE_ERROR CREDENTIAL_VALIDATION_ERROR "
        "CREDENTIAL_VAULT_ERROR CancelledError ColdStartRaceError DISCOVERY_ERROR DaprSidecarUnreachableError "
        "DataIntegrityError DependencyUnavailableError DiskFullError EVENT_BUS EVENT_PUBLISH EXECUTION_ACTIVITY_ERROR "
        "EXECUTION_ERROR EXECUTION_WORKER_ERROR ErrorCode FailureCategory FailureDetails HANDLER_ERROR InternalError "
        "InvalidInputError NotFoundError ObjectStoreDownloadError ObjectStoreReadError PAYLOAD_SAFETY PUBSUB_ERROR "
        "PreconditionError RateLimitedError ResourceExhaustedError SECRET_NOT_FOUND SECRET_STORE_ERROR SEGMENT_ERROR "
        "STATE_STORE_ERROR STORAGE_CONFIG STORAGE_EMPTY_UPLOAD STORAGE_INTEGRITY STORAGE_NOT_FOUND STORAGE_OPERATION "
        "STORAGE_PERMISSION STORAGE_PREFLIGHT SourceUnavailableError TASK_NOT_FOUND TaskStalledError "
        "UnimplementedError WORKER_EVICTED_TYPE redact_secrets safe_traceback sanitize_cause_repr "
    ),
    "execution": (
        "AppWorker ApplicationError RetryPolicy TemporalActivityError TemporalAuthConfig TemporalAuthManager "
        "TemporalCancelledError TemporalChildWorkflowError TemporalClient TemporalExecutorBackend "
        "TemporalTerminatedError TemporalTimeoutError TemporalWorkflowFailureError build_output_path "
        "create_data_converter create_data_converter_for_app create_temporal_client create_worker "
        "get_object_store_prefix needs_lock retry_product_seconds "
    ),
    "handler": (
        "ApiMetadataObject ApiMetadataOutput AuthInput AuthOutput AuthStatus BaseConnectionConfig BaseMetadataConfig "
        "DefaultHandler Handler HandlerContext HandlerCredential HandlerError MetadataInput MetadataOutput "
        "PreflightCheck PreflightInput PreflightOutput PreflightStatus SqlMetadataObject SqlMetadataOutput "
        "create_app_handler_service run_app_handler_service "
    ),
    "infrastructure": (
        "AsyncDaprClient Binding BindingError BindingRequest BindingResponse CapacityPool CredentialVault "
        "CredentialVaultError DAPR_SECRET_STORE_COMPONENT DaprBinding DaprCredentialVault DaprPubSub DaprSecretStore "
        "DaprStateStore EnvironmentSecretStore InfrastructureContext InputBinding LocalCapacityPool Message "
        "MessageHandler OutputBinding PubSub PubSubError SecretNotFoundError SecretStore SecretStoreError "
        "SecretStoreUnavailableError SecretStoreUnreachableError StateStore StateStoreError Subscription "
        "clear_infrastructure configure_capacity_pool get_capacity_pool get_deployment_secret get_infrastructure "
        "retry_past_dapr_cold_start set_infrastructure "
    ),
    "observability": (
        "AtlanLoggerAdapter CorrelationContext ExecutionContext correlation_context get_correlation_context "
        "get_execution_context get_logger metrics request_context set_correlation_context set_execution_context "
    ),
    "storage": (
        "BindingSecretRefs BoundStore CloudStore DataObject ObjectStoreCheckResult ObjectStorePreflightError "
        "SIDECAR_SUFFIX SecretMap StorageBindingBrokenError StorageBindingNotFoundError StorageConfigError "
        "StorageError StorageIntegrityError StorageNotFoundError StoragePermissionError check_object_store_access "
        "create_local_store create_memory_store create_store_from_binding create_store_from_binding_optional "
        "create_store_from_binding_with_put_attrs delete delete_prefix download_file download_file_chunked "
        "download_prefix exists get_file_meta is_sidecar_key list_data_keys list_data_keys_with_meta "
        "list_data_objects list_keys list_keys_with_meta normalize_key put_json read_binding_secret_refs "
        "set_fetched_binding_secrets upload_file upload_file_from_bytes upload_prefix verify_object_store_access "
    ),
    "templates": (
        "BaseMetadataExtractor IncrementalSqlMetadataExtractor SqlApp SqlMetadataExtractor SqlQueryExtractor "
    ),
    "testing": (
        "MockBinding MockCredentialStore MockHeartbeatController MockPubSub MockSecretStore MockStateStore "
        "app_context clean_app_registry clean_task_registry mock_binding mock_credential_store mock_heartbeat "
        "mock_pubsub mock_secret_store mock_state_store "
    ),
}
"""By package. Together they are 316."""
