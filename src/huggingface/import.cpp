#include "huggingface/import.h"

#include "base/check.h"
#include "base/json.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "huggingface/folder_in_progress.h"
#include "model/gpt.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

// The router state that a run of the model starts with.
class InitialState {
 public:
  explicit InitialState(const Config& config) {
    const ModelConfig& model = config.model;
    for (int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
      if (!model.layer_is_moe(layer)) continue;
      policies_.push_back(make_routing_policy(config.router, router_setup(model)));
      policies_.back()->declare_state(table_, text("model.layers.", layer, ".mlp."), DType::f32);
    }
    table_.allocate(arena_);
    arena_.commit();
    table_.allocate(arena_);
    for (const auto& policy : policies_) policy->initialize_state(host_memory(), static_cast<uint64_t>(config.seed));
  }
  const Tensor& value(const std::string& name) const { return table_.value(table_.find(name)); }

 private:
  Arena arena_{"router state"};
  StateTable table_;
  std::vector<std::unique_ptr<RoutingPolicy>> policies_;
};

// The rows of the checkpoint, in the order in which checkpoints store them.
std::vector<TensorSource> rows_of(const ModelFolder& model, const Gpt& gpt, const InitialState& initial,
                                  const WriteProgress& progress) {
  std::vector<TensorSource> rows;
  for (const ParamRow& row : gpt.params().rows())
    rows.push_back(source_of(*model.find(row.name), model.files(), progress));
  for (const StateRow& row : gpt.state().rows()) {
    if (!row.persistent) continue;
    const PlannedTensor* tensor = model.find(row.name);
    rows.push_back(tensor ? source_of(*tensor, model.files(), progress)
                          : source_of({row.name, initial.value(row.name)}));
  }
  return rows;
}

}  // namespace

ImportedFiles import_model(const ModelFolder& model, const std::filesystem::path& out,
                           const std::vector<std::pair<std::string, std::string>>& tokenizer) {
  require_free_folder(out);
  Config config = model.config();
  if (!tokenizer.empty()) config.data.tokenizer = model.path().string();
  // `gpt` only says which tensors a checkpoint must hold; no memory is allocated for them.
  const Gpt gpt(config.model, config.router, DType::f32, DType::f32);
  model.require_all(gpt.params(), gpt.state());
  const InitialState initial(config);

  ProgressLine line;
  const JobClock clock;
  const int64_t total = gpt.params().parameter_count() * dtype_bytes(DType::f32);
  int64_t done = 0;
  const WriteProgress progress = [&](int64_t bytes) {
    done += bytes;
    line.show("import " + clock.state(std::min(done, total), total));
  };
  const std::vector<TensorSource> rows = rows_of(model, gpt, initial, progress);
  CheckpointState state;
  state.config = nlohmann::json(to_json(config));
  try {
    const FolderInProgress folder(out);
    write_model_checkpoint(folder.path(), rows, state, tokenizer);
    folder.finish();
  } catch (const std::filesystem::filesystem_error& error) {
    throw Failure(text(error.path1().string(), ": ", error.code().message()));
  }
  return {.tensors = std::ssize(rows), .bytes = total};
}

}  // namespace gptmoe
