#include "engine/cuda_shapes.h"

#include "base/check.h"
#include "kernels/cuda_limits.h"

namespace gptmoe {
namespace {

// Throws UserError at `path` if `product` exceeds `limit`. The product is `value` times the factors that `times`
// names.
template <typename... Times>
void require_at_most(int64_t limit, const char* path, int64_t value, int64_t product, const Times&... times) {
  if (product > limit)
    user_error(path, ": ", value, times..., " is more than the ", limit,
               " that the GPU backend supports; lower it, or set device to \"cpu\"");
}

}  // namespace

void require_cuda_shapes(const Config& config, int64_t widest_head) {
  const ModelConfig& m = config.model;
  const TrainConfig& t = config.train;
  require_at_most(widest_head, "model.head_dim", m.head_dim, m.head_dim);
  require_at_most(cuda::kMostExperts, "model.num_experts", m.num_experts, m.num_experts);
  // The workspace must have room for at least one partial sum of the gradient of a router's weight, and for the partial
  // results of one sequence's attention.
  require_at_most(cuda::kWorkspaceFloats, "model.num_experts", m.num_experts, (m.num_experts + 1) * (m.hidden_size + 1),
                  " (plus one) x hidden_size ", m.hidden_size, " (plus one)");
  require_at_most(cuda::kWorkspaceFloats, "train.sequence_length", t.sequence_length,
                  t.sequence_length * m.num_attention_heads, " x num_attention_heads ", m.num_attention_heads);
  require_at_most(cuda::kMostTokens, "train.micro_batch_size", t.micro_batch_size,
                  t.micro_batch_size * t.sequence_length, " x sequence_length ", t.sequence_length);
  require_at_most(INT32_MAX / 2, "train.micro_batch_size", t.micro_batch_size,
                  t.micro_batch_size * m.num_attention_heads, " x num_attention_heads ", m.num_attention_heads);
}

}  // namespace gptmoe
