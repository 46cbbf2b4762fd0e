"""``python -m bench``: what the gateway costs, next to the least that could stand in its place.

Everything is measured in one run against ``passthrough/app.py``, a FastAPI and httpx function that hands an upstream's
bytes on: same emulator, same runtime, same simulated providers, turn and turn about, so that what the machine does
meanwhile falls on both. The numbers that matter are the differences and the ratios; see RESULTS.md.
"""

import sys
from pathlib import Path

# The checkout's own sources, without an installation.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "shared"))
