// The probes of products, compiled for the simulated GPU.
#include "cuda/hopper_product_probes.cu"
