"""`python -m apprun_operator`."""

import sys

from apprun_operator.main import main

sys.exit(main())
