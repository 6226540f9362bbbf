#pragma once
// Opens a run's folder on rank 0, before the run's state is loaded.
#include <filesystem>
#include <memory>
#include <optional>

#include "config/config.h"
#include "data/batches.h"
#include "records/run_history.h"
#include "train/train.h"
#include "train/unstarted_run.h"

namespace gptmoe {

struct OpenedRun {
  std::optional<std::filesystem::path> checkpoint;  // the one to continue from; none: from the start
  HistoryEntry history;                             // of the steps from here on: folder, shards and tokenizer
  // Whether every source is read from its beginning: the resumed run has new training data or sources, and its
  // checkpoint does not identify the sources.
  bool new_data = false;
};

// Starts the folder options.out, or checks that the run there, which is locked already, can continue. `given` is the
// run's config, and `val_data` is empty without validation. `unstarted` is null if the run is resumed; a branch has
// claimed its folder already. Throws UserError if a new run's folder already holds a run, another process trains there,
// the shards or the tokenizer are not those that the run read, or steps would be lost that no checkpoint holds (unless
// options.restart).
OpenedRun open_run_folder(const Config& given, const TrainOptions& options, const BatchLoader& train_data,
                          const std::vector<NamedText>& val_data, UnstartedRun* unstarted);

}  // namespace gptmoe
