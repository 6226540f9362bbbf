// With data.document_mask, a sequence of several documents gives the same results as the separate documents.
#include <gtest/gtest.h>

#include <cmath>

#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;
using Losses = std::vector<double>;

constexpr int32_t kEnd = 4;
constexpr int64_t kLengths[] = {60, 1, 33, 57};  // the last document has no end in the sequence

json one_sequence(json changes, int64_t T) {
  changes["model"]["router_aux_loss_coef"] = 0;  // the balance loss depends on the whole micro-batch
  changes["train"]["sequence_length"] = T;
  changes["train"]["micro_batch_size"] = 1;
  return changes;
}

std::vector<int32_t> packed_documents() {
  std::vector<int32_t> tokens;
  for (const int64_t length : kLengths) {
    for (int64_t i = 0; i < length; ++i)
      tokens.push_back(static_cast<int32_t>(5 + Rng(3, 0).below(static_cast<uint64_t>(std::ssize(tokens)), 24)));
    tokens.back() = kEnd;
  }
  tokens.back() = 5;
  return tokens;
}

// Each token must predict the next one. Adds the gradients of the sum of their losses, and returns the losses.
Losses losses_and_gradients(Model& model, std::span<const int32_t> tokens) {
  const Activations& a = model.activations();
  const int64_t T = a.tokens_BT.count();
  std::copy_n(tokens.data(), T, a.tokens_BT.as<int32_t>());
  std::copy_n(tokens.data() + 1, T, a.targets_BT.as<int32_t>());
  model.gpt().forward(model.pass(PassKind::evaluate), a);
  model.gpt().loss_and_backward(model.pass(PassKind::evaluate), a, 1.0);
  Losses losses;
  for (int64_t n = 0; n < T; ++n) losses.push_back(host_value(a.losses_N, n));
  return losses;
}

void copy_weights_and_state(Model& to, Model& from) {
  to.ops->copy(to.gpt().params().values(), from.gpt().params().values());
  for (size_t i = 0; i < to.gpt().state().rows().size(); ++i)
    to.ops->copy(to.gpt().state().rows()[i].value, from.gpt().state().rows()[i].value);
}

using MakeOps = std::function<std::unique_ptr<Ops>()>;

void expect_documents_apart(const json& changes, const MakeOps& make_ops, double tolerance) {
  std::vector<int32_t> tokens = packed_documents();
  const auto T = std::ssize(tokens);
  tokens.push_back(6);
  json masked = one_sequence(changes, T), open = masked;
  masked["data"] = {{"document_mask", true}, {"end_of_text", kEnd}};
  Model packed(tiny_config(masked), make_ops()), unmasked(tiny_config(open), make_ops());
  for (int64_t s = 0; s < 2; ++s) packed.step(s);  // moves default vectors
  copy_weights_and_state(unmasked, packed);
  packed.ops->zero(packed.gpt().params().grads());
  const Losses losses = losses_and_gradients(packed, tokens), other = losses_and_gradients(unmasked, tokens);
  EXPECT_NEAR(losses[0], other[0], tolerance);
  EXPECT_GT(std::abs(losses[100] - other[100]), 10 * tolerance) << "the mask must matter";

  const Tensor& sum = packed.gpt().params().grads();
  std::vector<double> apart(static_cast<size_t>(sum.count()));
  int64_t first = 0;
  for (const int64_t length : kLengths) {
    Model alone(tiny_config(one_sequence(changes, length)), make_ops());
    copy_weights_and_state(alone, packed);
    alone.ops->zero(alone.gpt().params().grads());
    const Losses own = losses_and_gradients(alone, std::span(tokens).subspan(static_cast<size_t>(first)));
    for (int64_t t = 0; t < length; ++t)
      EXPECT_NEAR(losses[static_cast<size_t>(first + t)], own[static_cast<size_t>(t)], tolerance) << first << " " << t;
    for (int64_t i = 0; i < sum.count(); ++i)
      apart[static_cast<size_t>(i)] += host_value(alone.gpt().params().grads(), i);
    first += length;
  }
  // Norms, since the rounding of a single element of an embedding's gradient depends on the CPU's kernels.
  double whole = 0, difference = 0;
  for (int64_t i = 0; i < sum.count(); ++i) {
    const double expected = apart[static_cast<size_t>(i)];
    whole += expected * expected;
    difference += std::pow(host_value(sum, i) - expected, 2);
  }
  EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(whole));
}

struct Case {
  std::string name;
  json changes;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class DocumentMask : public ::testing::TestWithParam<Case> {};

TEST_P(DocumentMask, EqualsTheSeparateDocuments) {
  expect_documents_apart(
      GetParam().changes, [] { return make_cpu_ops_f64(); }, 1e-12);
}

TEST_P(DocumentMask, EqualsTheSeparateDocumentsInF32) {
  expect_documents_apart(
      GetParam().changes, [] { return make_cpu_ops(); }, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Models, DocumentMask,
    ::testing::Values(Case{"topk", {}}, Case{"default", {{"router", {{"type", "default"}}}}},
                      Case{"dense_recompute", {{"model", {{"num_experts", 0}}}, {"train", {{"recompute", "block"}}}}},
                      Case{"grouped_queries_qk_norm",
                           {{"model",
                             {{"num_experts", 0},
                              {"qk_norm", true},
                              {"num_attention_heads", 4},
                              {"num_key_value_heads", 2},
                              {"head_dim", 4}}}}},
                      Case{"qk_norm_per_head", {{"model", {{"qk_norm", true}, {"qk_norm_scope", "head"}}}}}),
    [](const auto& info) { return info.param.name; });

TEST(DocumentMask, EqualsTheSeparateDocumentsWithBf16Products) {
  expect_documents_apart(
      {{"model", {{"num_experts", 0}}}}, [] { return make_cpu_ops(0, DType::bf16); }, 2e-2);
}

}  // namespace
}  // namespace gptmoe::testing
