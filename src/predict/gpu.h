#pragma once
// What a GPU can do, as far as predictions need it.
#include <cstdint>
#include <span>
#include <string>

namespace gptmoe {

struct Gpu {
  const char* name;   // as --gpu takes it
  const char* title;  // as the GPU calls itself, without "NVIDIA"
  int multiprocessors;
  int64_t memory_bytes;  // that a program can use
  // FLOP/s of dense products in bf16: peak_flops is that of the data sheet, and product_flops is what the vendor's
  // library reaches with large matrices. mma_share is the rate of mma.sync, the instruction of our own products,
  // relative to the rate of the library's instructions.
  double peak_flops, product_flops, mma_share;
  // FLOP/s in f32 on ordinary cores: that of the data sheet, and that of large matrix products.
  double vector_flops, vector_product_flops;
  double peak_bytes, copy_bytes;  // bytes/s of memory, read and written: on the data sheet, and of a large copy
  double trip;                    // latency of a load from memory, in seconds
  double launch_gap;              // seconds between two kernels of a CUDA graph
  // Bytes/s that a rank sends in a large ring collective: over NVLink, and through its network card.
  double link_bytes, network_bytes;
  bool hopper = false;          // has the instructions of kernels/cuda/hopper
  bool hopper_kernels = false;  // runs these kernels
};

// FLOP/s of matrix products in a precision: on the data sheet, and with large matrices.
inline double peak_rate(const Gpu& gpu, bool bf16) { return bf16 ? gpu.peak_flops : gpu.vector_flops; }
inline double product_rate(const Gpu& gpu, bool bf16) { return bf16 ? gpu.product_flops : gpu.vector_product_flops; }

// All GPUs that predictions know. The first is the default.
std::span<const Gpu> known_gpus();
// The GPU that --gpu names. Throws UserError, which lists the names.
const Gpu& gpu_named(const std::string& name);
// The GPU of a device that calls itself `description`, such as "NVIDIA H200, bf16" or "NVIDIA H200, bf16, Hopper's
// kernels"; nullptr if it is not known, or if it is a part of a GPU (MIG) or a variant with other rates. Case does not
// matter.
const Gpu* gpu_described(const std::string& description);

}  // namespace gptmoe
