#include "routing/router_table.h"
#include "routing/topk_policy.h"

namespace gptmoe {
namespace {

// Every expert runs on every token, whatever num_experts_per_tok says: the reference for the true router gradient.
class DensePolicy final : public TopkPolicy {
 public:
  using TopkPolicy::TopkPolicy;
  int64_t experts_per_token() const override { return setup_.num_experts; }
};

std::unique_ptr<RoutingPolicy> make_dense(const RouterSetup& setup, Fields&) {
  return std::make_unique<DensePolicy>(setup);
}

}  // namespace

Router dense_router() {
  return {.name = "dense",
          .sentence = "Each token visits every expert: the reference for the true gradient of a router.",
          .make = make_dense};
}

}  // namespace gptmoe
