#include "engine/slow_paths.h"

#include "kernels/cuda_limits.h"

namespace gptmoe {

std::vector<std::string> slow_paths(const Config& config, const Ops& ops, bool begun) {
  std::vector<std::string> lines;
  if (!begun && config.device != "cuda" && ops.compute_dtype() == DType::f32 && config.precision == "auto" &&
      cpu_multiplies_bf16_faster())
    lines.push_back(
        text("precision f32; --set precision=bf16 --set device=cpu trains faster on this CPU (1.5 times on the one "
             "that was measured)"));
  if (ops.compute_dtype() != DType::bf16) return lines;  // only a GPU computes in bf16
  const ModelConfig& m = config.model;
  const int64_t vector = cuda::kVector, head = m.head_dim;
  if (head % vector != 0 || head > cuda::kMaxTensorHeadDim)
    lines.push_back(text("model.head_dim ", head, ": attention runs without tensor cores, which need multiples of ",
                         vector, " up to ", cuda::kMaxTensorHeadDim, "; 64 and 128 are best"));
  const auto expect_multiple = [&](const char* path, int64_t width) {
    if (width % vector != 0)
      lines.push_back(text(path, " ", width, ": products and copies are slower than with a multiple of ", vector,
                           ", such as ", (width / vector + 1) * vector));
  };
  expect_multiple("model.vocab_size", m.vocab_size);
  expect_multiple("model.hidden_size", m.hidden_size);
  if (m.moe_layers() < m.num_hidden_layers) expect_multiple("model.intermediate_size", m.intermediate_size);
  if (m.moe_layers() > 0) expect_multiple("model.moe_intermediate_size", m.moe_intermediate_size);
  return lines;
}

}  // namespace gptmoe
