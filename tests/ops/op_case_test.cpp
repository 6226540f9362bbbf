// Every OpCase, checked in four ways.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/plan_ops.h"
#include "op_cases/case_run.h"
#include "ops/backends.h"
#include "support/sanitized.h"

namespace gptmoe {
namespace {

class OpForward : public testing::TestWithParam<OpCase> {};
class OpPromises : public testing::TestWithParam<OpCase> {};
class OpRefusals : public testing::TestWithParam<OpCase> {};
class OpParity : public testing::TestWithParam<OpCase> {};

std::string case_name(const testing::TestParamInfo<OpCase>& info) { return info.param.name; }

Values tensors_before(const CaseRun& run) {
  Values values;
  for (const TensorSpec& spec : run.op().tensors)
    values[spec.name] = run.before(spec.starts_as.empty() ? spec.name : spec.starts_as);
  return values;
}

// In double, the op agrees with plain loops up to rounding.
TEST_P(OpForward, AgreesWithNaiveLoops) {
  CaseRun run(GetParam(), double_ops(1));
  Values expected = tensors_before(run);
  GetParam().reference(expected);
  run.forward();
  run.backward();
  for (const TensorSpec& spec : GetParam().tensors) {
    if (spec.role != Role::output) continue;
    const Difference worst = worst_difference(spec.name, run.read(spec.name), expected[spec.name], spec.exact);
    EXPECT_LE(worst.error, 1e-12) << worst.where;
  }
}

// Whether the op multiplies operands that may be rounded to bf16.
bool rounds_operands(const OpCase& op) {
  if (op.name.find("all_dead") != std::string::npos) return false;  // nothing is multiplied
  for (const char* products : {"attention_", "linear_", "grouped_linear_", "grouped_swiglu_", "lm_head_"})
    if (op.name.starts_with(products)) return true;
  return false;
}

// Outputs are overwritten whatever they held before, nothing else is written, and a second run gives the same bits.
TEST_P(OpPromises, WritesOnlyItsOutputsAndTheSameBitsEveryTime) {
  const auto check = [](Ops& ops) {
    CaseRun first(GetParam(), ops, Garbage::nan), second(GetParam(), ops, Garbage::large);
    for (CaseRun* run : {&first, &second}) {
      run->forward();
      run->backward();
      for (const std::string& broken : run->broken_promises()) ADD_FAILURE() << ops.describe() << ": " << broken;
    }
    for (const TensorSpec& spec : GetParam().tensors) {
      if (!spec.written()) continue;
      EXPECT_TRUE(first.same_bits(second, spec.name)) << spec.name << " differs, " << ops.describe();
    }
  };
  for (int threads : {1, 2, 3}) {
    check(float_ops(threads));
    if (rounds_operands(GetParam())) check(bf16_product_ops(threads));
  }
}

// The tensors of a run, with one of them replaced.
class Tampered final : public Tensors {
 public:
  Tampered(const Tensors& tensors, std::string_view name, const Tensor& replacement)
      : tensors_(tensors), name_(name), replacement_(replacement) {}
  const Tensor& operator[](std::string_view name) const override {
    named |= name == name_;
    return name == name_ ? replacement_ : tensors_[name];
  }
  mutable bool named = false;

 private:
  const Tensors& tensors_;
  std::string_view name_;
  const Tensor& replacement_;
};

DType other_dtype_of_same_size(DType dtype) {
  switch (dtype) {
    case DType::f32: return DType::i32;
    case DType::f64: return DType::i64;
    case DType::i32: return DType::f32;
    default: return DType::f64;
  }
}

// The tensor with another element type, and the tensor without its last column.
std::vector<Tensor> wrong_versions(const Tensor& tensor, const TensorSpec& spec) {
  std::vector<Tensor> wrong;
  if (!spec.any_type) wrong.push_back(make_tensor(tensor.data(), other_dtype_of_same_size(tensor.dtype()), spec.sizes));
  std::vector<int64_t> sizes = spec.sizes;
  if (!spec.any_width && --sizes.back() > 0) wrong.push_back(make_tensor(tensor.data(), tensor.dtype(), sizes));
  return wrong;
}

// An op given a tensor of the wrong type or shape throws BugError before it computes.
TEST_P(OpRefusals, RefusesWrongTypesAndShapes) {
  Ops& ops = float_ops(1);
  Ops plan = make_plan_ops(ops);
  CaseRun run(GetParam(), ops);
  run.forward();
  for (const TensorSpec& spec : GetParam().tensors) {
    for (const Tensor& wrong : wrong_versions(run[spec.name], spec)) {
      for (const OpPass& pass : {GetParam().forward, GetParam().backward}) {
        Tampered tampered(run, spec.name, wrong);
        for (Ops* backend : {&ops, &plan}) {
          bool refused = false;
          try {
            if (pass) pass(*backend, tampered);
          } catch (const BugError&) {
            refused = true;
          }
          EXPECT_EQ(refused, tampered.named) << spec.name << " as " << wrong.describe() << ", " << backend->describe();
        }
      }
    }
  }
}

// With any number of threads, in double, in float and with bf16 matrix products, the result agrees with that of one
// thread in double. With bf16 products, an op that rounds its operands is compared on inputs that bf16 holds exactly.
TEST_P(OpParity, AgreesAcrossThreadsAndTypes) {
  const auto run_both = [](CaseRun& run) {
    run.forward();
    run.backward();
  };
  const bool rounds = rounds_operands(GetParam());
  CaseRun expected(GetParam(), double_ops(1)), expected_of_bf16(GetParam(), double_ops(1), Garbage::nan, DType::bf16);
  run_both(expected);
  if (rounds) run_both(expected_of_bf16);
  // Under the sanitizers, OpForward and OpPromises run the same code with one and two threads.
  for (int threads : kSanitized ? std::vector{3} : std::vector{1, 2, 3}) {
    CaseRun in_double(GetParam(), double_ops(threads));
    run_both(in_double);
    const Difference rounding = worst_difference(in_double, expected);
    EXPECT_LE(rounding.error, 1e-12) << threads << " threads, f64: " << rounding.where;

    CaseRun in_float(GetParam(), float_ops(threads));
    run_both(in_float);
    const Difference worst = worst_difference(in_float, expected);
    EXPECT_LE(worst.error, GetParam().tolerance) << threads << " threads, f32: " << worst.where;

    CaseRun in_bf16_products(GetParam(), bf16_product_ops(threads));
    run_both(in_bf16_products);
    for (const TensorSpec& spec : GetParam().tensors) {
      if (!spec.written() || (rounds && spec.kind != Kind::real)) continue;
      EXPECT_EQ(in_bf16_products.same_bits(in_float, spec.name), !rounds) << spec.name;
    }
    // Large scores of attention differ too much if its operands are rounded.
    if (rounds && !GetParam().name.starts_with("attention_")) {
      const Difference unrounded = worst_difference(in_bf16_products, expected);
      EXPECT_LE(unrounded.error, 2 * GetParam().bf16_tolerance)
          << threads << " threads, bf16 products of f32 inputs: " << unrounded.where;
    }
    if (!rounds) continue;
    CaseRun of_bf16(GetParam(), bf16_product_ops(threads), Garbage::nan, DType::bf16);
    run_both(of_bf16);
    const Difference rounded = worst_difference(of_bf16, expected_of_bf16);
    EXPECT_LE(rounded.error, GetParam().bf16_tolerance) << threads << " threads, bf16 products: " << rounded.where;
  }
}

const auto kCases = testing::ValuesIn(op_cases().tests);
INSTANTIATE_TEST_SUITE_P(Ops, OpForward, kCases, case_name);
INSTANTIATE_TEST_SUITE_P(Ops, OpPromises, kCases, case_name);
INSTANTIATE_TEST_SUITE_P(Ops, OpRefusals, kCases, case_name);
INSTANTIATE_TEST_SUITE_P(Ops, OpParity, kCases, case_name);

}  // namespace
}  // namespace gptmoe
