"""Entry of a warm pod: `python3 -m application_sdk.worker`. All of it is in `engines.kubernetes.worker_main`."""

from application_sdk.engines.kubernetes.startup import tune_startup

tune_startup()

from application_sdk.engines.kubernetes.worker_main import main  # noqa: E402 - what it imports is to be loaded quickly

if __name__ == "__main__":
    main()
