"""Environment variables for a peer on a CPU, set before its process starts; spin settings of the user take precedence.

Without them glibc returns every large freed block to the kernel and pages it in again in the next step, MKL uses only
AVX2 on some CPUs that have AVX-512, and libgomp, which PyTorch ships and llm.c links, lets idle threads spin for
milliseconds. On a busy machine a spinning thread takes the core from the thread it waits for.
"""
import os
import sys

SPIN_COUNT = "1000"  # as gptmoe sets for itself, src/base/openmp_wait.cpp
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the largest value that glibc accepts
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
}


def with_short_spinning(environment):
    """Adds gptmoe's own spin count, unless the environment has a wait policy or a spin count."""
    if "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment:
        return dict(environment)
    return {**environment, "GOMP_SPINCOUNT": SPIN_COUNT}


def tune():
    """Restarts the program with these variables, unless --plain asks for an unchanged environment."""
    wanted = {**ENVIRONMENT, **with_short_spinning(os.environ)}
    if "--plain" not in sys.argv and wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)
