#include "checkpoint/finite_rows.h"

#include "base/check.h"
#include "checkpoint/checkpoint_rows.h"

namespace gptmoe {
namespace {

bool has_nonfinite(Ops& ops, const Tensor& elements) {
  return is_float(elements.dtype()) && elements.count() > 0 && ops.count_nonfinite(elements) > 0;
}

}  // namespace

std::string first_nonfinite_row(Ops& ops, const CheckpointTensors& tensors) {
  std::vector<RowToLoad> rows = model_rows(tensors);
  if (tensors.average.present())
    for (RowToLoad& row : average_rows(tensors)) rows.push_back(std::move(row));
  if (tensors.m.present())
    for (RowToLoad& row : optimizer_rows(tensors)) rows.push_back(std::move(row));
  for (const RowToLoad& row : rows)
    for (const RowPart& part : row.parts)
      if (has_nonfinite(ops, part.elements)) return row.name;
  return "";
}

void require_finite_rows(Ops& ops, const CheckpointTensors& tensors, const std::filesystem::path& checkpoint_dir) {
  const std::string row = first_nonfinite_row(ops, tensors);
  if (!row.empty())
    user_error(checkpoint_dir.string(), ": tensor \"", row,
               "\" has elements that are infinite or not a number: the run diverged before it was saved; ",
               damage_remedy(checkpoint_dir));
}

CheckpointState load_finite_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                                  const StateTable& state, Ops& ops, Weights weights) {
  const CheckpointState saved = load_model(checkpoint_dir, params, state, ops.memory(), weights);
  require_finite_rows(ops, {params, state, {}, {}, ops.memory()}, checkpoint_dir);
  return saved;
}

}  // namespace gptmoe
