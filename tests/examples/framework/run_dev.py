"""The development script of the first app."""

import asyncio
import os

from app import BakeryApp

from application_sdk.main import run_dev_combined

asyncio.run(
    run_dev_combined(
        BakeryApp, example_input={"loaves": 3}, temporal_ui=True, port=int(os.environ.get("BAKERY_PORT", "8000"))
    )
)
