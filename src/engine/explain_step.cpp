#include "engine/explain_step.h"

#include <algorithm>
#include <cmath>

#include "distributed/agree.h"

namespace gptmoe {
namespace {

double host_value(Memory& memory, const Tensor& x_1) { return download_values(memory, x_1).front(); }

// The first tensor in the order of the computation that has a non-finite element.
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

// The index of the last row with a non-finite gradient among those that this rank holds; -1 if there is none.
int64_t last_offending_row(Engine& engine, Ops& ops) {
  const ParamTable& params = engine.gpt().params();
  for (int64_t row = std::ssize(params.rows()) - 1; row >= 0; --row)
    for (const Tensor& part : params.held_row_grads(params.rows()[static_cast<size_t>(row)]))
      if (ops.count_nonfinite(part) > 0) return row;
  return -1;
}

// The first non-finite gradient in the order of the backward pass, which starts at the head; it makes all later ones
// non-finite. Collective, since each rank may hold only a part of the gradients.
std::string first_offender_backward(Engine& engine, Ops& ops, World& world) {
  int64_t row = -1;
  agree(world, [&] { row = last_offending_row(engine, ops); });
  for (const std::string& other : world.all_gather(std::to_string(row)))
    row = std::max<int64_t>(row, std::stoll(other));
  if (row < 0) return "sum of squares of the gradients (it overflows)";
  return "gradient of " + engine.gpt().params().rows()[static_cast<size_t>(row)].name;
}

[[noreturn]] void stop(const std::string& what, const std::string& tensor) {
  throw NumericFailure(
      text(what, "; first offending tensor: ", tensor, ". This step changed no parameter; ", kDivergenceRemedy));
}

// After a micro-batch's backward: throws if this rank's loss is not finite. Returns what is wrong with the gradient at
// the end of its residual stream; "" if that is finite.
std::string check_micro_batch(Engine& engine, Ops& ops, int64_t step, int64_t micro_batch) {
  const std::string where = text(" is not finite at step ", step + 1, ", micro-batch ", micro_batch + 1);
  if (!std::isfinite(host_value(ops.memory(), engine.sums().loss_1)))
    stop("the loss" + where, first_offender_forward(engine, ops));
  return ops.count_nonfinite(engine.activations().dstream_NC) > 0 ? "the gradient" + where : "";
}

// After TrainStep::measure(): what is wrong with the gradients of the whole step; "" if they are finite.
std::string check_gradients(Engine& engine, Ops& ops, int64_t step) {
  if (std::isfinite(host_value(ops.memory(), engine.sums().squared_norm_1))) return "";
  return text("the gradient is not finite at step ", step + 1);
}

}  // namespace

void explain_step(TrainStep& train_step, const NextBatch& same_batches, int64_t step, World& world) {
  Engine& engine = train_step.engine();
  Ops& ops = train_step.ops();
  engine.data_parallel().reduce_whole(true);
  int64_t micro_batch = 0;
  train_step.run(same_batches, step, [&](const StepPart& part, const std::function<void()>& work) {
    if (part.name != StepPart::update) work();
    std::string wrong;  // what is wrong with this rank's gradients
    agree(world, [&] {  // if one rank throws, all do, since the next collective needs every rank
      if (part.name == StepPart::micro_batch) wrong = check_micro_batch(engine, ops, step, micro_batch++);
      if (part.name == StepPart::measure) wrong = check_gradients(engine, ops, step);
      // The step's numbers are finite this time, so the run may continue from its checkpoint.
      if (part.name == StepPart::update)
        throw Failure(
            text("the loss or the gradient was not finite at step ", step + 1,
                 ", but was finite when the step was computed again. The router's state may have changed since, or the "
                 "hardware may be faulty. This step changed no parameter; --resume continues from "
                 "the last checkpoint"));
    });
    if (!world.any(!wrong.empty())) return;
    const std::string tensor = first_offender_backward(engine, ops, world);
    agree(world, [&] {
      if (!wrong.empty()) stop(wrong, tensor);
    });
  });
  GPTMOE_CHECK(false, "a step without an update");
}

}  // namespace gptmoe
