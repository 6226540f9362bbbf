#include "analysis/model_variant.h"

#include "base/progress.h"
#include "engine/default_norms.h"
#include "engine/memory_check.h"

namespace gptmoe {
namespace {

void copy_parameters(Ops& ops, const ParamTable& to, const ParamTable& from) {
  GPTMOE_CHECK(to.element_count() == from.element_count() && to.master().present() == from.master().present(),
               "models of different layouts");
  ops.copy(to.values(), from.values());
  if (to.master().present()) ops.copy(to.master(), from.master());
}

void require_room_for_batch(const Engine& engine, const Ops& ops, Memory& memory, int64_t B) {
  const int64_t room = room_in(memory, ops);
  if (room >= 0 && engine.total_bytes() > room)
    user_error("--batch-size: gradients of ", plural(B, "sequence"), " need ", binary_bytes(engine.total_bytes()),
               " of ", memory.name(), ", but ", binary_bytes(room), " is available; lower it");
}

}  // namespace

Config with_router(Config config, const RouterConfig& router, int64_t experts_per_token) {
  config.router = router;
  config.model.num_experts_per_tok = experts_per_token;
  config.model.router_aux_loss_coef = 0;
  config.model.router_z_loss_coef = 0;
  config.model.output_z_loss_coef = 0;
  return config;
}

std::vector<Table> read_default_vectors(const Gpt& gpt, Memory& memory) {
  std::vector<Table> vectors;
  for (const Tensor& tensor : default_vectors(gpt.state())) {
    Table& rows = vectors.emplace_back();
    for (int64_t e = 0; e < tensor.size(0); ++e) rows.push_back(download_values(memory, tensor.rows(e, 1)));
  }
  return vectors;
}

ModelVariant::ModelVariant(const Config& config, Engine& from, Ops& ops)
    : ops_(ops),
      engine_(config, Purpose::gradients, from.activations().tokens_BT.size(0), from.activations().tokens_BT.size(1),
              ops) {
  require_room_for_batch(engine_, ops, ops.memory(), from.activations().tokens_BT.size(0));
  engine_.commit(ops);
  copy_parameters(ops, engine_.gpt().params(), from.gpt().params());
}

void ModelVariant::set_default_vectors(const std::vector<Table>& vectors) {
  const std::vector<Tensor> tensors = gptmoe::default_vectors(engine_.gpt().state());
  GPTMOE_CHECK(tensors.size() == vectors.size(), tensors.size(), " layers keep default vectors");
  for (size_t layer = 0; layer < tensors.size(); ++layer) {
    std::vector<double> flat;
    for (const auto& row : vectors[layer]) flat.insert(flat.end(), row.begin(), row.end());
    GPTMOE_CHECK(std::ssize(flat) == tensors[layer].count(), tensors[layer].describe());
    upload_values(ops_.memory(), tensors[layer], flat.data());
  }
}

void ModelVariant::observe(const Batches& batches, int64_t batch) {
  batches.fill(engine_, batch);
  engine_.gpt().forward(pass(PassKind::train), activations());
}

Table ModelVariant::router_gradients(const Batches& batches, int64_t batch, MoeObserver* observer) {
  const Gpt& gpt = engine_.gpt();
  Pass measured = pass(PassKind::evaluate);
  measured.observer = observer;
  batches.fill(engine_, batch);
  ops_.zero(gpt.params().grads());
  gpt.forward(measured, activations());
  gpt.loss_and_backward(measured, activations(), 1.0 / static_cast<double>(activations().tokens_BT.count()));
  Table gradients;
  for (const ParamRow& row : gpt.params().rows())
    if (row.name.ends_with(".mlp.gate.weight"))
      gradients.push_back(download_values(ops_.memory(), gpt.params().row_grad(row)));
  return gradients;
}

}  // namespace gptmoe
