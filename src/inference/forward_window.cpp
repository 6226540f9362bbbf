#include "inference/forward_window.h"

#include "kernels/plan_ops.h"

namespace gptmoe {

ForwardWindow::ForwardWindow(const Gpt& gpt, Ops& ops, Communicator& communicator, int64_t B, int64_t T)
    : gpt_(gpt), ops_(ops), communicator_(communicator), logits_(static_cast<size_t>(gpt.config().vocab_size)) {
  GPTMOE_CHECK(ops.statistics_dtype() == DType::f32);
  lay_out(B, T);
  Ops plan = make_plan_ops(ops);
  gpt.forward({plan, scratch_, communicator, PassKind::evaluate}, activations_);
  arena_.commit(ops.memory());
  scratch_.commit(ops.memory());
  lay_out(B, T);
  gpt.prepare(ops, activations_.rope);
}

void ForwardWindow::lay_out(int64_t B, int64_t T) {
  activations_ = gpt_.allocate(arena_, ops_, B, T, ActivationMode::forward_only);
  logits_1V_ = arena_.allocate(ops_.statistics_dtype(), {1, gpt_.config().vocab_size});
}

void ForwardWindow::forward() { gpt_.forward({ops_, scratch_, communicator_, PassKind::evaluate}, activations_); }

void ForwardWindow::loss() { gpt_.loss({ops_, scratch_, communicator_, PassKind::evaluate}, activations_); }

const std::vector<float>& ForwardWindow::logits(int64_t n) {
  gpt_.logits({ops_, scratch_, communicator_, PassKind::evaluate}, activations_, logits_1V_, n, 1);
  ops_.memory().download(logits_.data(), logits_1V_);
  return logits_;
}

}  // namespace gptmoe
