// The probes of copies, compiled for the simulated GPU.
#include "cuda/hopper_copy_probes.cu"
