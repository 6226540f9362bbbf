#include "engine/explain_step.h"

#include <cmath>

#include "distributed/agree.h"

namespace gptmoe {
namespace {

double host_value(Memory& memory, const Tensor& x_1) { return download_values(memory, x_1).front(); }

// The first tensor, in the order of the computation, with a non-finite element.
std::string first_offender_forward(Engine& engine, Ops& ops) {
  const ParamTable& params = engine.gpt().params();
  for (const ParamRow& row : params.rows())
    if (ops.count_nonfinite(params.row_value(row)) > 0) return "parameter " + row.name;
  const Activations& a = engine.activations();
  for (size_t l = 0; l < a.stream_NC.size(); ++l)
    if (ops.count_nonfinite(a.stream_NC[l]) > 0)
      return l == 0 ? "output of model.embed_tokens" : text("output of model.layers.", l - 1);
  if (ops.count_nonfinite(a.final_NC) > 0) return "output of model.norm";
  return "logits of lm_head";
}

// The first non-finite gradient in the order of the backward pass, which starts at the head; it makes all later ones
// non-finite.
std::string first_offender_backward(Engine& engine, Ops& ops) {
  const ParamTable& params = engine.gpt().params();
  for (auto row = params.rows().rbegin(); row != params.rows().rend(); ++row)
    for (const Tensor& part : params.held_row_grads(*row))
      if (ops.count_nonfinite(part) > 0) return "gradient of " + row->name;
  if (params.has_windows()) return "gradients that other ranks hold, or their sum of squares (it overflows)";
  return "sum of squares of the gradients (it overflows)";
}

[[noreturn]] void stop(const std::string& what, const std::string& tensor) {
  throw NumericFailure(
      text(what, "; first offending tensor: ", tensor, ". This step changed no parameter; ", kDivergenceRemedy));
}

// After a micro-batch's backward: checks its loss, and the gradient at the end of the residual stream.
void require_finite_micro_batch(Engine& engine, Ops& ops, int64_t step, int64_t micro_batch) {
  const std::string where = text(" is not finite at step ", step + 1, ", micro-batch ", micro_batch + 1);
  if (!std::isfinite(host_value(ops.memory(), engine.sums().loss_1)))
    stop("the loss" + where, first_offender_forward(engine, ops));
  if (ops.count_nonfinite(engine.activations().dstream_NC) > 0)
    stop("the gradient" + where, first_offender_backward(engine, ops));
}

// After TrainStep::measure(): checks the gradients of the whole step.
void require_finite_gradients(Engine& engine, Ops& ops, int64_t step) {
  if (!std::isfinite(host_value(ops.memory(), engine.sums().squared_norm_1)))
    stop(text("the gradient is not finite at step ", step + 1), first_offender_backward(engine, ops));
}

}  // namespace

void explain_step(TrainStep& train_step, const NextBatch& same_batches, int64_t step, World& world) {
  Engine& engine = train_step.engine();
  Ops& ops = train_step.ops();
  engine.data_parallel().reduce_whole(true);
  int64_t micro_batch = 0;
  train_step.run(same_batches, step, [&](const StepPart& part, const std::function<void()>& work) {
    if (part.name != StepPart::update) work();
    agree(world, [&] {  // on all ranks: the next collective needs every one of them
      if (part.name == StepPart::micro_batch) require_finite_micro_batch(engine, ops, step, micro_batch++);
      if (part.name == StepPart::measure) require_finite_gradients(engine, ops, step);
      // The step's numbers are finite this time, so the run may continue from its checkpoint.
      if (part.name == StepPart::update)
        throw Failure(
            text("the loss or the gradient was not finite at step ", step + 1,
                 ", but was finite when the step was computed again. The router's state may have changed since, or the "
                 "hardware may be faulty. This step changed no parameter; --resume continues from "
                 "the last checkpoint"));
    });
  });
  GPTMOE_CHECK(false, "a step without an update");
}

}  // namespace gptmoe
