#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

// The declarations name their parameters, which are not used here.
#pragma GCC diagnostic ignored "-Wunused-parameter"

class PlanKernels final : public Kernels {
 public:
  PlanKernels(DType compute, DType statistics, int64_t logit_elements, int64_t workspace_bytes)
      : compute_(compute),
        statistics_(statistics),
        logit_elements_(logit_elements),
        workspace_bytes_(workspace_bytes) {}

  DType compute_dtype() const override { return compute_; }
  DType statistics_dtype() const override { return statistics_; }
  Memory& memory() override { return host_memory(); }
  void synchronize() override {}
  int64_t logit_elements() const override { return logit_elements_; }
  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string describe() const override { return "plan"; }
  int64_t count_nonfinite(const Tensor&) override { return 0; }

#define OP(name, ...) \
  void name(__VA_ARGS__) override {}
#include "kernels/ops.inc"

 private:
  DType compute_, statistics_;
  int64_t logit_elements_, workspace_bytes_;
};

}  // namespace

Ops make_plan_ops(DType compute, DType statistics, int64_t logit_elements, int64_t workspace_bytes) {
  return Ops(std::make_shared<PlanKernels>(compute, statistics, logit_elements, workspace_bytes));
}

Ops make_plan_ops(const Ops& ops) {
  return make_plan_ops(ops.compute_dtype(), ops.statistics_dtype(), ops.logit_elements(), ops.workspace_bytes());
}

}  // namespace gptmoe
