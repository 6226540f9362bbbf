#include "predict/gpu.h"

#include <array>
#include <cctype>

#include "base/check.h"

namespace gptmoe {
namespace {

// Sources:
//   peak_flops, vector_flops, peak_bytes, multiprocessors: NVIDIA's data sheets (H200 SXM 141 GB, H100 SXM 80 GB, A100
//     SXM 80 GB), without sparsity.
//   memory_bytes: the memory that CUDA reports, less about half a GiB of its own.
//   vector_product_flops: assumed.
//   product_flops: the best shape of bf16 products in the "maximum achievable FLOPS" tables of S. Bekman, Machine
//     Learning Engineering: H100 794, A100 271. An H200 has the H100's cores and power limit.
//   mma_share: Luo et al., Benchmarking and Dissecting the Nvidia Hopper GPU Architecture (arXiv 2402.13499): on
//     Hopper, mma.sync reaches about 62 % of the peak that wgmma reaches. On an A100, the library uses mma.sync too.
//   copy_bytes: assumed, 86 to 90 % of the data sheet.
//   trip: assumed. A load takes about 270 (cache) to 480 (memory) clock cycles (the same paper), which are 0.15 to 0.27
//     us; the instructions around it and the wait for other loads take as long again.
//   launch_gap: assumed.
//   link_bytes: NCCL's maintainers expect 370 of NVLink 4's 450 GB/s each way (NVIDIA/nccl-tests#212); the same share
//     of an A100's 300 GB/s is 240.
//   network_bytes: 46 to 48 GB/s with a 400 Gb/s card (NVIDIA/nccl-tests#290); an A100's machine has cards of half
//     that rate.
constexpr double kVectorProductShare = 0.7;
constexpr std::array<Gpu, 3> kGpus = {{
    {.name = "h200",
     .title = "H200",
     .multiprocessors = 132,
     .memory_bytes = int64_t{139} << 30,
     .peak_flops = 989e12,
     .product_flops = 790e12,
     .mma_share = 0.62,
     .vector_flops = 67e12,
     .vector_product_flops = kVectorProductShare * 67e12,
     .peak_bytes = 4.8e12,
     .copy_bytes = 4.3e12,
     .trip = 0.6e-6,
     .launch_gap = 1e-6,
     .link_bytes = 370e9,
     .network_bytes = 47e9,
     .hopper = true},
    {.name = "h100",
     .title = "H100",
     .multiprocessors = 132,
     .memory_bytes = int64_t{79} << 30,
     .peak_flops = 989e12,
     .product_flops = 790e12,
     .mma_share = 0.62,
     .vector_flops = 67e12,
     .vector_product_flops = kVectorProductShare * 67e12,
     .peak_bytes = 3.35e12,
     .copy_bytes = 3.0e12,
     .trip = 0.6e-6,
     .launch_gap = 1e-6,
     .link_bytes = 370e9,
     .network_bytes = 47e9,
     .hopper = true},
    {.name = "a100",
     .title = "A100",
     .multiprocessors = 108,
     .memory_bytes = int64_t{79} << 30,
     .peak_flops = 312e12,
     .product_flops = 270e12,
     .mma_share = 1,
     .vector_flops = 19.5e12,
     .vector_product_flops = kVectorProductShare * 19.5e12,
     .peak_bytes = 2.039e12,
     .copy_bytes = 1.75e12,
     .trip = 0.6e-6,
     .launch_gap = 1e-6,
     .link_bytes = 240e9,
     .network_bytes = 23.5e9},
}};

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::span<const Gpu> known_gpus() { return kGpus; }

const Gpu& gpu_named(const std::string& name) {
  std::string names;
  for (const Gpu& gpu : kGpus) {
    if (name == gpu.name) return gpu;
    names += (names.empty() ? "" : ", ") + std::string(gpu.name);
  }
  user_error("--gpu: \"", name, "\" is not known; choose one of ", names);
}

const Gpu* gpu_described(const std::string& description) {
  const std::string name = lower_case(description);
  // The same chips with less power or other memory, and parts of a GPU.
  for (const char* variant : {"pcie", "nvl", "40gb", "64gb", "96gb", "mig"})
    if (name.find(variant) != std::string::npos) return nullptr;
  static const std::array<Gpu, kGpus.size()> with_hopper = [] {
    std::array<Gpu, kGpus.size()> gpus = kGpus;
    for (Gpu& gpu : gpus) gpu.hopper_kernels = gpu.hopper;
    return gpus;
  }();
  for (const Gpu& gpu : name.ends_with(", hopper's kernels") ? with_hopper : kGpus)
    if (name.find(text(" ", gpu.name)) != std::string::npos) return &gpu;
  return nullptr;
}

}  // namespace gptmoe
