// The fused LM head and cross-entropy.
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

// Holds m rows of logits at a time. `spread` sets the size of the logits. To check the gradient of a z-loss, the case
// has a second output, the mean of lse^2.
OpCase lm_head_loss(int64_t n, int64_t c, int64_t v, int64_t m, double spread = 1, std::string_view variant = "",
                    double z_loss = 0, double cap = 0) {
  const double loss_scale = 0.37;
  OpCase op("lm_head_loss", {n, c, v, m}, variant);
  op.variable("x", {n, c}, normal(0, spread), Write::assign);
  op.parameter("w", {v, c}, normal(0, 1 / std::sqrt(static_cast<double>(c))));
  op.input("targets", {n}, below(v), Kind::i32);
  op.output("losses", {n}, Kind::stat, constant(loss_scale));
  op.result("losses_of_backward", {n}, Kind::stat);
  if (z_loss > 0) {
    op.result("lse", {n}, Kind::stat);
    op.output("z", {1}, Kind::stat, constant(loss_scale * z_loss * static_cast<double>(n)));
  }
  op.scratch("logits", {m, v});
  op.bf16_tolerance = 2e-2;  // the logits are bf16: those around 3 are off by up to 0.008
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.lm_head_loss(t["losses"], z_loss > 0 ? t["lse"] : Tensor{}, Tensor{}, Tensor{}, t["x"], t["w"], t["targets"],
                     loss_scale, t["logits"], z_loss, cap);
    if (z_loss > 0) ops.z_loss_forward(t["z"], t["lse"]);
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.lm_head_loss(t["losses_of_backward"], Tensor{}, t["dx"], t["dw"], t["x"], t["w"], t["targets"], loss_scale,
                     t["logits"], z_loss, cap);
  };
  op.reference = [=](Values& values) {
    std::vector<double> logits(v);
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) {
      double largest = -INFINITY, sum = 0;
      for (int64_t j = 0; j < v; ++j) {
        logits[j] = 0;
        for (int64_t k = 0; k < c; ++k) logits[j] += values["x"][i * c + k] * values["w"][j * c + k];
        if (cap > 0) logits[j] = cap * std::tanh(logits[j] / cap);
        largest = std::max(largest, logits[j]);
      }
      for (double logit : logits) sum += std::exp(logit - largest);
      const double lse = largest + std::log(sum);
      values["losses"][i] = lse - logits[static_cast<int64_t>(values["targets"][i])];
      squares += lse * lse;
      if (z_loss > 0) values["lse"][i] = lse;
    }
    values["losses_of_backward"] = values["losses"];
    if (z_loss > 0) values["z"][0] = squares / static_cast<double>(n);
  };
  return op;
}

OpCase softcap(int64_t n, int64_t v, double cap) {
  OpCase op("softcap", {n, v});
  op.input("before", {n, v}, normal(0, 2 * cap));
  op.result("logits", {n, v}, Kind::real);
  op.in_place("logits", "before");
  op.any_width("logits");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.softcap(t["logits"], cap); };
  op.reference = [=](Values& values) {
    for (int64_t i = 0; i < n * v; ++i) values["logits"][i] = cap * std::tanh(values["before"][i] / cap);
  };
  return op;
}

}  // namespace

void add_lm_head_cases(OpCases& cases) {
  auto& tests = cases.tests;
  tests.push_back(lm_head_loss(1, 1, 3, 1));
  tests.push_back(lm_head_loss(1, 5, 3, 7));
  tests.push_back(lm_head_loss(7, 24, 61, 3));
  tests.push_back(lm_head_loss(33, 64, 300, 16));
  tests.push_back(lm_head_loss(33, 5, 61, 33));
  tests.push_back(lm_head_loss(130, 24, 61, 64));
  // Rows that a block of a CUDA kernel keeps in registers and shared memory, and rows that are too long for that.
  tests.push_back(lm_head_loss(2, 1, 20008, 1));
  tests.push_back(lm_head_loss(3, 1, 150016, 2));
  tests.back().tolerance = 6e-5;  // dx is a sum of 150,016 products in f32
  // Logits of about 80 and more.
  tests.push_back(lm_head_loss(33, 24, 61, 8, 30, "extreme"));
  tests.back().tolerance = 1e-4;       // an f32 logit of 100 is accurate to 1e-5
  tests.back().bf16_tolerance = 1e-1;  // and a bf16 one to 0.25

  // With a z-loss, a soft-cap, and both.
  for (auto [z_loss, cap] : {std::pair{0.3, 0.0}, {0.0, 2.0}, {0.1, 1.5}}) {
    const char* variant = cap == 0 ? "z_loss" : z_loss == 0 ? "capped" : "z_loss_capped";
    tests.push_back(lm_head_loss(1, 5, 3, 7, 1, variant, z_loss, cap));
    tests.push_back(lm_head_loss(33, 24, 61, 16, 1, variant, z_loss, cap));
    tests.push_back(lm_head_loss(2, 1, 20008, 1, 1, variant, z_loss, cap));
  }
  tests.push_back(lm_head_loss(33, 24, 61, 8, 30, "extreme_capped", 0, 30));
  tests.back().tolerance = 1e-4;
  tests.back().bf16_tolerance = 1e-1;
  tests.push_back(softcap(1, 1, 3));
  tests.push_back(softcap(7, 61, 30));
  tests.push_back(softcap(33, 300, 0.5));

  cases.benchmarks.push_back(lm_head_loss(4096, 256, 2048, 512));
  cases.benchmarks.push_back(lm_head_loss(2048, 128, 2048, 512));
  cases.gpu_benchmarks.push_back(lm_head_loss(16384, 1024, 128256, kCudaLogitElements / 128256));
}

}  // namespace gptmoe
