"""``python -m headgate_runtime``: serve the function named by ``_HANDLER`` until Lambda ends the process."""

import asyncio
import os
import sys

from headgate_runtime.logs import configure_logging
from headgate_runtime.loop import serve

configure_logging(os.environ)
sys.exit(asyncio.run(serve(os.environ)))
