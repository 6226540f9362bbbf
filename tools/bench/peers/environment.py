"""What one sets for a peer on a CPU before its process starts; values already in the environment win.

glibc otherwise returns every large freed block to the kernel and pages it in again on the next step, MKL stays with
AVX2 on some CPUs that have AVX-512, and libgomp, which PyTorch brings along and llm.c is linked with, lets idle threads
spin for milliseconds, on a busy machine in the way of the thread they wait for.
"""
import os
import sys

SPIN_COUNT = "1000"  # as gptmoe sets for itself, src/base/openmp_wait.cpp
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the largest value glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
}


def with_short_spinning(environment):
    """As gptmoe does it: a wait policy or a spin count that is there stays."""
    if "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment:
        return dict(environment)
    return {**environment, "GOMP_SPINCOUNT": SPIN_COUNT}


def tune():
    """Starts the program again with these variables, unless --plain asks for PyTorch as it comes."""
    wanted = {**ENVIRONMENT, **with_short_spinning(os.environ)}
    if "--plain" not in sys.argv and wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)
