#include "checkpoint/finite_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "checkpoint/checkpoint_fixture.h"
#include "engine/backend.h"
#include "support/error_message.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

class FiniteRows : public Checkpoint {
 protected:
  void SetUp() override {
    const CheckpointTensors tensors = model_.tensors();
    for (const Tensor& x : {tensors.params.values(), tensors.m, tensors.v}) fill(x, 0.5f);
    for (const StateRow& row : tensors.state.rows())
      if (row.dtype == DType::f32) fill(row.value, 0.5f);
  }
  static void fill(const Tensor& x, float value) { std::fill_n(x.as<float>(), x.count(), value); }
  std::string first() { return first_nonfinite_row(*ops_, model_.tensors()); }

  CheckpointModel model_{1};
  std::unique_ptr<Ops> ops_ = make_backend(tiny_config());
};

TEST_F(FiniteRows, NamesTheFirstRow) {
  EXPECT_EQ(first(), "");
  const CheckpointTensors tensors = model_.tensors();
  const auto spoil = [&](const Tensor& x, float value, const std::string& name) {
    float& last = x.as<float>()[x.count() - 1];
    const float before = std::exchange(last, value);
    EXPECT_EQ(first(), name);
    last = before;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  for (const ParamRow& row : tensors.params.rows()) {
    spoil(tensors.params.row_value(row), kInfinity, row.name);
    spoil(tensors.params.row_view(tensors.m, row), kNan, "m." + row.name);
    spoil(tensors.params.row_view(tensors.v, row), -kInfinity, "v." + row.name);
  }
  for (const StateRow& row : tensors.state.rows())
    if (row.dtype == DType::f32) spoil(row.value, kNan, row.persistent ? row.name : "");
  EXPECT_EQ(first(), "");
}

TEST_F(FiniteRows, ACheckpointThatIsNotFiniteIsRefusedByTensor) {
  save(5, model_);
  model_.params().values().as<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  save(10, model_);
  CheckpointModel loaded(2);
  const auto load = [&](int64_t step) { load_finite_model(at(step), loaded.params(), loaded.state(), *ops_); };
  EXPECT_NO_THROW(load(5));
  EXPECT_EQ(message<UserError>([&] { load(10); }),
            at(10).string() +
                ": tensor \"embed\" has elements that are infinite or not a number: the run diverged before it was "
                "saved; remove " +
                at(10).string() + " to use the earlier step_00000005");
}

}  // namespace
}  // namespace gptmoe::testing
