"""What one sets for PyTorch on a CPU before the process starts; values already in the environment win.

glibc otherwise returns every large freed block to the kernel and pages it in again on the next step, and MKL stays with
AVX2 on some CPUs that have AVX-512.
"""
import os
import sys

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the largest value glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
}


def tune():
    """Starts the program again with these variables, unless --plain asks for PyTorch as it comes."""
    if "--plain" not in sys.argv and any(name not in os.environ for name in ENVIRONMENT):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**ENVIRONMENT, **os.environ})
