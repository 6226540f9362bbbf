// The probes, compiled for the simulated GPU.
#include "cuda/hopper_probes.cu"
