// The fused LM head and cross-entropy.
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

// m rows of logits at a time. `spread` sets the size of the logits.
OpCase lm_head_loss(int64_t n, int64_t c, int64_t v, int64_t m, double spread = 1, std::string_view variant = "") {
  const double loss_scale = 0.37;
  OpCase op("lm_head_loss", {n, c, v, m}, variant);
  op.variable("x", {n, c}, normal(0, spread), Write::assign);
  op.parameter("w", {v, c}, normal(0, 1 / std::sqrt(static_cast<double>(c))));
  op.input("targets", {n}, below(v), Kind::i32);
  op.output("losses", {n}, Kind::stat, constant(loss_scale));
  op.result("losses_of_backward", {n}, Kind::stat);
  op.scratch("logits", {m, v});
  op.bf16_tolerance = 2e-2;  // the logits are bf16: those around 3 are off by up to 0.008
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.lm_head_loss(t["losses"], Tensor{}, Tensor{}, t["x"], t["w"], t["targets"], loss_scale, t["logits"]);
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.lm_head_loss(t["losses_of_backward"], t["dx"], t["dw"], t["x"], t["w"], t["targets"], loss_scale, t["logits"]);
  };
  op.reference = [=](Values& values) {
    std::vector<double> logits(v);
    for (int64_t i = 0; i < n; ++i) {
      double largest = -INFINITY, sum = 0;
      for (int64_t j = 0; j < v; ++j) {
        logits[j] = 0;
        for (int64_t k = 0; k < c; ++k) logits[j] += values["x"][i * c + k] * values["w"][j * c + k];
        largest = std::max(largest, logits[j]);
      }
      for (double logit : logits) sum += std::exp(logit - largest);
      values["losses"][i] = largest + std::log(sum) - logits[static_cast<int64_t>(values["targets"][i])];
    }
    values["losses_of_backward"] = values["losses"];
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

  cases.benchmarks.push_back(lm_head_loss(4096, 256, 2048, 512));
  cases.benchmarks.push_back(lm_head_loss(2048, 128, 2048, 512));
  cases.gpu_benchmarks.push_back(lm_head_loss(16384, 1024, 128256, kCudaLogitElements / 128256));
}

}  // namespace gptmoe
