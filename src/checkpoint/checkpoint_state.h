#pragma once
// The run's state in a checkpoint's state.json; docs/run_files.md lists its fields.
#include <cstdint>
#include <optional>
#include <string>

#include "base/json_value.h"
#include "data/batches.h"
#include "records/record.h"
#include "records/spike_record.h"

namespace gptmoe {

struct CheckpointState {
  int64_t step = 0;
  int64_t tokens = 0;
  double seconds = 0;
  LoaderState loader;
  JsonValue config;                          // the run's config, with every default
  std::optional<std::string> last_row = {};  // checksum of the last row of metrics.jsonl that the step covers
  std::optional<SpikeRecord> spikes = {};    // if the run ever had train.skip_spikes

  bool operator==(const CheckpointState&) const = default;
};

// The whole of state.json except its own checksum.
struct StateFile {
  CheckpointState state;
  int64_t format_version = 0;
  Named<std::string> files;
};

template <typename Visitor, Is<SourceState> Record>
void visit_fields(Visitor& visitor, Record& source) {
  visitor.field("epoch", source.epoch, "Completed passes over this source.");
  visitor.field("position", source.position, "Sequences of this pass that all ranks together have read.");
  visitor.field("windows", source.windows, "Sequences in a pass; a different number means different data.");
  visitor.field("due", source.due, "Sequences by which the source is behind its share.");
  visitor.maybe("shuffle", source.shuffle, "Number of the source's shuffle: it is added to the seed.");
  visitor.maybe("fingerprint", source.fingerprint,
                "Number of the source's shards, of their tokens, and their checksum.");
}

template <typename Visitor, Is<LoaderState> Record>
void visit_fields(Visitor& visitor, Record& loader) {
  visitor.field("epoch", loader.epoch, "Completed passes over the training data.");
  visitor.field("position", loader.position, "Sequences of this pass that all ranks together have read.");
  visitor.field("windows", loader.windows, "Sequences in a pass; a different number means different data.");
  visitor.maybe("sources", loader.sources, "The run's position in each source, in the order of the sources.");
}

template <typename Visitor, Is<CheckpointState> Record>
void visit_fields(Visitor& visitor, Record& state) {
  visitor.field("step", state.step, "Optimizer steps done.");
  visitor.field("tokens", state.tokens, "Training tokens seen.");
  visitor.field("seconds", state.seconds, "Time spent training so far, without evaluations and checkpoints.");
  visitor.field("loader", state.loader, "The run's position in its training data.");
  visitor.field("config", state.config, "The run's config with every default filled in.");
  visitor.maybe("last_row", state.last_row, "Checksum of the last row of metrics.jsonl when the step was saved.");
  visitor.maybe("spikes", state.spikes,
                "The steps with which train.skip_spikes compares the next step, and how many it skipped; absent if it "
                "was never on.");
}

template <typename Visitor, Is<StateFile> Record>
void visit_fields(Visitor& visitor, Record& file) {
  visitor.field("format_version", file.format_version, "Version of the checkpoint's format.");
  visit_fields(visitor, file.state);
  visitor.field("files", file.files, "Checksum of every other file of the checkpoint, by its name.");
}

}  // namespace gptmoe
