"""`run_dev_combined` for scripts, and `python -m application_sdk.main`, which takes the App
Framework's arguments."""

from application_sdk.command import main
from application_sdk.development import RunNotSucceededError, run_dev_combined

__all__ = ["RunNotSucceededError", "main", "run_dev_combined"]

if __name__ == "__main__":
    main()
