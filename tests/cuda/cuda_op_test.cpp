// Runs every OpCase on the CUDA backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "cuda/device.h"
#include "cuda/worst_errors.h"
#include "op_cases/case_run.h"
#include "ops/backends.h"

namespace gptmoe {
namespace {

Ops& cuda_ops(DType compute, GpuModel gpu) {
  static const auto all = [] {
    std::map<std::pair<DType, GpuModel>, std::unique_ptr<Ops>> made;
    for (const GpuModel kind : {GpuModel::small_a100, GpuModel::h100}) {
      use_gpu(kind);
      for (const DType type : {DType::f32, DType::bf16}) made[{type, kind}] = make_cuda_ops(type);
    }
    return made;
  }();
  use_gpu(gpu);
  return *all.at({compute, gpu});
}

class CudaOp : public testing::TestWithParam<std::tuple<OpCase, DType>> {
 protected:
  ~CudaOp() override {
    reorder_execution(1);
    use_gpu(GpuModel::usual);
  }

  const OpCase& op() const { return std::get<0>(GetParam()); }
  DType compute() const { return std::get<1>(GetParam()); }
  // A case runs on one GPU in f32 and on the other in bf16. Half of the cases run on the A100 in f32.
  GpuModel gpu() const {
    return (hash_bytes(op().name) + (compute() == DType::bf16)) % 2 ? GpuModel::small_a100 : GpuModel::h100;
  }
  GpuModel other_gpu() const { return gpu() == GpuModel::h100 ? GpuModel::small_a100 : GpuModel::h100; }

  // `backend` names the ops in the table of the worst errors.
  void expect_agreement_with_the_cpu(CaseRun& got, const char* backend = "");
  void expect_promises(Ops& ops, const char* backend = "");
};

// Runs `got` and expects it to agree with the CPU in f64 on the same inputs. The CPU's backward starts from the
// rounded outputs of the CUDA forward, so the errors of the forward do not carry over to the backward.
void CudaOp::expect_agreement_with_the_cpu(CaseRun& got, const char* backend) {
  CaseRun expected(op(), double_ops(1), Garbage::nan, compute());
  const double tolerance = compute() == DType::f32 ? op().tolerance : op().bf16_tolerance;
  double largest = 0;
  const auto expect_within = [&](const Difference& worst) {
    EXPECT_LE(worst.error, tolerance) << worst.where;
    largest = std::max(largest, worst.error);
  };
  got.forward();
  expected.forward();
  for (const TensorSpec& spec : op().tensors) {
    // If an output is still NaN after the forward, the backward writes it.
    if (spec.role != Role::output || std::isnan(expected.read(spec.name).front())) continue;
    const std::vector<double> values = got.read(spec.name);
    const bool exact = spec.exact || spec.kind == Kind::i32 || spec.kind == Kind::i64;
    expect_within(worst_difference(spec.name, values, expected.read(spec.name), exact));
    expected.write(spec.name, values);
  }
  got.backward();
  expected.backward();
  expect_within(worst_difference(got, expected));
  record_error(backend + op().name, compute(), tolerance, largest);
}

// Checks three promises of an op in two runs of its case: it agrees with the CPU; it overwrites its outputs, whatever
// they held before, and writes nothing else; another order of blocks and threads gives the same bits.
void CudaOp::expect_promises(Ops& ops, const char* backend) {
  CaseRun got(op(), ops, Garbage::nan, compute()), again(op(), ops, Garbage::large, compute());
  expect_agreement_with_the_cpu(got, backend);
  reorder_execution(2);
  again.forward();
  again.backward();
  for (CaseRun* run : {&got, &again})
    for (const std::string& broken : run->broken_promises()) ADD_FAILURE() << broken;
  for (const TensorSpec& spec : op().tensors) {
    if (!spec.written()) continue;
    EXPECT_TRUE(got.same_bits(again, spec.name)) << spec.name << " depends on the order";
  }
}

TEST_P(CudaOp, AgreesWithTheCpuWritesOnlyItsOutputsAndGivesTheSameBitsInAnyOrder) {
  expect_promises(cuda_ops(compute(), gpu()));
}

std::string case_name(const testing::TestParamInfo<std::tuple<OpCase, DType>>& info) {
  return std::get<0>(info.param).name + "_" + dtype_name(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Ops, CudaOp,
                         testing::Combine(testing::ValuesIn(op_cases().tests),
                                          testing::Values(DType::f32, DType::bf16)),
                         case_name);

// The same for Hopper's kernels, on the shapes that they take.
class CudaOpOnHopper : public CudaOp {};
TEST_P(CudaOpOnHopper, AgreesWithTheCpuWritesOnlyItsOutputsAndGivesTheSameBitsInAnyOrder) {
  use_gpu(GpuModel::usual);
  if (const std::string obstacle = why_no_hopper(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  static const std::unique_ptr<Ops> ops = make_cuda_ops(DType::bf16, {.hopper = true});
  expect_promises(*ops, "hopper_");
}

std::vector<OpCase> cases_on_hopper() {
  std::vector<OpCase> cases = hopper_cases(2);  // the simulated GPU has two multiprocessors
  for (const OpCase& op : op_cases().tests) {
    const bool taken = std::all_of(op.tensors.begin(), op.tensors.end(), [](const TensorSpec& spec) {
      return spec.kind != Kind::real || spec.sizes.back() % 8 == 0;
    });
    if (taken && has_hopper_kernel(op)) cases.push_back(op);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Ops, CudaOpOnHopper,
                         testing::Combine(testing::ValuesIn(cases_on_hopper()), testing::Values(DType::bf16)),
                         case_name);

// The same for tensors that start at odd elements, where packs of 16 bytes are impossible.
class CudaOpAtOddElements : public CudaOp {};
TEST_P(CudaOpAtOddElements, AgreesWithTheCpu) {
  CaseRun got(op(), cuda_ops(compute(), other_gpu()), Garbage::nan, compute(), Start::at_odd_element);
  expect_agreement_with_the_cpu(got);
}

// For each op, the first case whose rows are multiples of 16 bytes: other rows are never loaded in packs.
std::vector<OpCase> cases_in_packs() {
  std::vector<OpCase> cases;
  std::set<std::string> ops;
  for (const OpCase& op : op_cases().tests) {
    const bool in_packs = std::any_of(op.tensors.begin(), op.tensors.end(), [](const TensorSpec& spec) {
      return spec.kind == Kind::real && spec.sizes.back() % 8 == 0;
    });
    if (in_packs && ops.insert(op.op).second) cases.push_back(op);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Ops, CudaOpAtOddElements,
                         testing::Combine(testing::ValuesIn(cases_in_packs()),
                                          testing::Values(DType::f32, DType::bf16)),
                         case_name);

}  // namespace
}  // namespace gptmoe
