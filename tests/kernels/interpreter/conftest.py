"""These tests run Triton's interpreter, which must be chosen before Triton is imported: `tests/kernels/test_interpreter.py` does."""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]
