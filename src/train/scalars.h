#pragma once
// The scalars that TensorBoard shows for a row of metrics.jsonl. A field KEY of a "train" row is the scalar train/KEY,
// and of an "eval" row eval/KEY, without the prefix "val_". A list by layer is train_layers/KEY/LAYER, counting the MoE
// layers from 00. The traffic of one kind is train_communication/KIND_KEY. A score KEY of a task in a "tasks" row is
// tasks_KEY/TASK. The event itself has step and time. Tokens, seconds and the loads of single experts are left out.
// eval/dead_experts counts the dead experts of all layers.
#include <vector>

#include "records/metrics_rows.h"
#include "train/event_file.h"

namespace gptmoe {

std::vector<Scalar> scalars_of(const TrainRow& row);
std::vector<Scalar> scalars_of(const EvalRow& row);
std::vector<Scalar> scalars_of(const TasksRow& row);

}  // namespace gptmoe
