"""Entry of a pod: `python3 -m application_sdk.pod`. All of it is in `engines.kubernetes.pod`."""

from application_sdk.engines.kubernetes.startup import tune_startup

tune_startup()

from application_sdk.engines.kubernetes.pod import main  # noqa: E402 - what it imports is to be loaded quickly

if __name__ == "__main__":
    main()
