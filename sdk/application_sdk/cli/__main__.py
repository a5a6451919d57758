"""`python -m application_sdk.cli` is `apprun`."""

from application_sdk.cli import main

main()
