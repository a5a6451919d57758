"""The SDK that an AppRun app imports. Start at `application_sdk.app` and `application_sdk.contracts`."""
