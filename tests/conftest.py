"""What holds for all tests, and for the processes that they start."""

import os

# Before torch is imported. More threads make tiny models no faster, and many times slower where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
