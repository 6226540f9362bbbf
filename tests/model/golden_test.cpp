// Compares logits, loss, every gradient and ten AdamW steps with an independent PyTorch implementation (tests/golden),
// on each backend of golden_backends().
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "model/golden_backends.h"
#include "routing/router_table.h"
#include "support/model_fixture.h"
#include "support/sanitized.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(source_folder()) / "tests/golden";

// The names of all cases, in order.
std::vector<std::string> golden_cases() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(kFolder))
    if (file.path().extension() == ".json") names.push_back(file.path().stem());
  std::ranges::sort(names);
  return names;
}

TEST(GoldenCases, CoverEveryRouter) {
  EXPECT_GE(golden_cases().size(), 21u) << "a case is missing from tests/golden";
  std::set<std::string> covered;
  for (const std::string& name : golden_cases()) covered.insert(load_config(kFolder / (name + ".json")).router.type);
  for (const std::string& router : router_names())
    EXPECT_TRUE(covered.contains(router))
        << "tests/golden has no case for the router \"" << router << "\". State its formulas in reference.py, add a "
        << "case to CASES in make_golden.py, and run `python3 tests/golden/make_golden.py CASE`; README.md there says "
        << "what it needs.";
}

TEST(GoldenCases, AreListedInTheReadme) {
  const std::string readme = read_text_file(kFolder / "README.md");
  for (const std::string& name : golden_cases())
    EXPECT_NE(readme.find("\n| `" + name + "` | "), std::string::npos) << name;
}

class Golden : public ::testing::TestWithParam<std::tuple<std::string, GoldenBackend>> {
 protected:
  const GoldenBackend& backend() const { return std::get<1>(GetParam()); }
  double tolerance() const { return backend().tolerance; }
  std::string path(const char* extension) const { return kFolder / (std::get<0>(GetParam()) + extension); }
};

template <typename T = float>
std::vector<T> read_all(const SafetensorsFile& file, const std::string& name) {
  const auto* entry = file.find(name);
  if (!entry) throw std::runtime_error("golden file has no " + name);
  std::vector<T> out(static_cast<size_t>(entry->end - entry->begin) / sizeof(T));
  Tensor view(out.data(), DTypeOf<T>::value, {std::ssize(out)});
  if (entry->sizes.size() == 4)
    view = view.view({entry->sizes[0], entry->sizes[1], entry->sizes[2], entry->sizes[3]});
  else if (entry->sizes.size() == 2)
    view = view.view({entry->sizes[0], entry->sizes[1]});
  file.read(name, view);
  return out;
}

// Compares every element, relative to the tensor's largest.
void expect_close(const std::vector<double>& actual, const std::vector<float>& expected, const std::string& name,
                  double tolerance) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  double scale = 1e-6, worst = 0;
  size_t where = 0;
  for (float x : expected) scale = std::max(scale, std::abs(static_cast<double>(x)));
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - static_cast<double>(expected[i]));
    if (!(error <= worst)) {
      worst = error;
      where = i;
    }
  }
  EXPECT_LE(worst, tolerance * scale) << name << "[" << where << "]: " << actual[where] << " instead of "
                                      << expected[where];
}

// Compares the tensor as a whole: |actual - expected| / |expected|. Adam divides a gradient by its own size, so the
// rounding error of a gradient near zero can become a visible share of a step.
void expect_close_in_norm(const std::vector<double>& actual, const std::vector<float>& expected,
                          const std::string& name, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  double error = 0, size = 1e-12;
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto want = static_cast<double>(expected[i]);
    error += std::pow(actual[i] - want, 2);
    size += want * want;
  }
  EXPECT_LE(std::sqrt(error / size), tolerance) << name;
}

void load_start(const SafetensorsFile& golden, Gpt& gpt, Memory& memory) {
  for (const ParamRow& row : gpt.params().rows()) golden.read("param." + row.name, gpt.params().row_value(row), memory);
  for (const StateRow& row : gpt.state().rows())
    if (row.persistent) golden.read("state." + row.name, row.value, memory);
}

void expect_final_state(const SafetensorsFile& golden, const StateRow& row, Memory& memory, double tolerance) {
  const std::string name = "final_state." + row.name;
  if (row.dtype != DType::i64)
    return expect_close_in_norm(download_values(memory, row.value), read_all(golden, name), row.name, tolerance);
  std::vector<int64_t> counts(static_cast<size_t>(row.value.count()));
  memory.download(counts.data(), row.value);
  EXPECT_EQ(counts, read_all<int64_t>(golden, name)) << row.name;
}

TEST_P(Golden, LogitsLossGradientsAndTenSteps) {
  const Config config = load_config(path(".json"));
  const SafetensorsFile golden(path(".safetensors"));
  Model model(config, backend().make());
  Gpt& gpt = model.gpt();
  Memory& memory = model.ops->memory();
  const ParamTable& params = gpt.params();
  load_start(golden, gpt, memory);

  const std::vector<int32_t> tokens = read_all<int32_t>(golden, "tokens");
  const std::vector<int32_t> targets = read_all<int32_t>(golden, "targets");
  size_t position = 0;
  const NextBatch next_batch = [&](const Tensor& inputs_BT, const Tensor& targets_BT) {
    std::memcpy(inputs_BT.data(), tokens.data() + position, static_cast<size_t>(inputs_BT.bytes()));
    std::memcpy(targets_BT.data(), targets.data() + position, static_cast<size_t>(inputs_BT.bytes()));
    position += static_cast<size_t>(inputs_BT.count());
  };

  // The logits and loss of the first micro-batch, from a separate model.
  {
    Model probe(config, backend().make());
    load_start(golden, probe.gpt(), probe.ops->memory());
    const Activations& a = probe.activations();
    next_batch(probe.engine.batch_tokens_BT(), probe.engine.batch_targets_BT());
    probe.engine.upload_batch();
    position = 0;
    // A training pass: with ema_update "forward" it updates the default vectors before it uses them.
    probe.gpt().forward(probe.pass(PassKind::train), a);
    probe.gpt().loss(probe.pass(PassKind::train), a);
    const int64_t N = a.losses_N.size(0), V = config.model.vocab_size;
    Arena arena("logits");
    arena.allocate(probe.ops->compute_dtype(), {N, V});
    arena.commit(probe.ops->memory());
    const Tensor logits_NV = arena.allocate(probe.ops->compute_dtype(), {N, V});
    probe.gpt().logits(probe.pass(PassKind::train), a, logits_NV, 0, N);
    expect_close(download_values(probe.ops->memory(), logits_NV), read_all(golden, "logits"), "logits", tolerance());
    double loss = 0;
    for (double token_loss : download_values(probe.ops->memory(), a.losses_N))
      loss += token_loss / static_cast<double>(N);
    EXPECT_NEAR(loss, read_all(golden, "loss")[0], tolerance() * loss);
  }

  const std::vector<float> losses = read_all(golden, "losses"), norms = read_all(golden, "grad_norms");
  const int64_t steps = kSanitized ? 4 : std::ssize(losses);  // further steps only repeat the code
  for (int64_t step = 0; step < steps; ++step) {
    const StepResult result = model.step(step, next_batch);
    const auto s = static_cast<size_t>(step);
    EXPECT_NEAR(result.loss, losses[s], tolerance() * losses[s]) << "step " << step;
    EXPECT_NEAR(result.grad_norm, norms[s], tolerance() * norms[s]) << "step " << step;
    if (step == 0)
      for (const ParamRow& row : params.rows())
        expect_close(download_values(memory, params.row_grad(row)), read_all(golden, "grad." + row.name),
                     "gradient of " + row.name, tolerance());
  }
  if (steps < std::ssize(losses)) return;
  for (const ParamRow& row : params.rows())
    if (golden.find("final." + row.name))
      expect_close_in_norm(download_values(memory, params.row_value(row)), read_all(golden, "final." + row.name),
                           row.name, backend().trained_tolerance);
  for (const StateRow& row : gpt.state().rows())
    if (row.persistent) expect_final_state(golden, row, memory, backend().trained_tolerance);
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Golden,
                         ::testing::Combine(::testing::ValuesIn(golden_cases()),
                                            ::testing::ValuesIn(golden_backends())),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param).name; });

}  // namespace
}  // namespace gptmoe::testing
