#include "routing/topk_policy.h"

namespace gptmoe {
namespace {

// Every expert runs on every token, whatever num_experts_per_tok says: the reference for the true router gradient.
class DensePolicy final : public TopkPolicy {
 public:
  using TopkPolicy::TopkPolicy;
  int64_t experts_per_token() const override { return setup_.num_experts; }
};

}  // namespace

std::unique_ptr<RoutingPolicy> make_dense_policy(const RouterSetup& setup, Fields& fields) {
  fields.about("Each token visits every expert: the reference for the true gradient of a router.");
  return std::make_unique<DensePolicy>(setup);
}

}  // namespace gptmoe
