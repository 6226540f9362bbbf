#pragma once
// Batches of training windows from one or several sources.
//
// All windows of a run form one global order, which depends on the sources, their shares and the seed alone. Each epoch
// of a source visits every window of it once, shuffled by (seed, epoch). With several sources, each window of the
// global order comes from the source that is furthest behind its share. So the shares hold, to within a few windows,
// throughout the run. Micro-batches follow the order. With B sequences in a micro-batch, rank r of R ranks takes
// windows r*B to (r+1)*B - 1 of the next B*R windows. So ranks read disjoint windows, and the tokens of a step do not
// depend on how the step is split over ranks and micro-batches. An epoch may end inside a micro-batch.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "data/loader.h"

namespace gptmoe {

// A run's position in one source.
struct SourceState {
  int64_t epoch = 0;
  int64_t position = 0;  // windows of this epoch already read, over all ranks; < windows
  int64_t windows = 0;   // per epoch: detects different data on restore
  double due = 0;        // windows by which the source is behind its share
  // The number of the source's shuffle. Older checkpoints lack it; the source's index among the sources is then used.
  std::optional<int64_t> shuffle = {};
  std::optional<std::string> fingerprint = {};  // of its shards; absent unless identified
  bool operator==(const SourceState&) const = default;
};

// The position of the next micro-batch in the global order, in the form that checkpoints store.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;                   // windows already read beyond the first `epoch` * `windows`
  int64_t windows = 0;                    // in one epoch, summed over the sources
  std::vector<SourceState> sources = {};  // may be empty if there is only one
  bool operator==(const LoaderState&) const = default;
};

class BatchLoader {
 public:
  // `shares` are the sources' shares of the windows, relative to each other; each is above 0.
  BatchLoader(std::vector<NamedText> sources, std::vector<double> shares, uint64_t seed, int rank = 0,
              int world_size = 1);

  // inputs_BT, targets_BT (i32, (B, T)) = this rank's rows of the next micro-batch; B may differ from call to call.
  // Throws what TokenLoader::window() throws.
  void next_batch(const Tensor& inputs_BT, const Tensor& targets_BT);

  // After this call, states identify each source by its shards. Reads the checksums of all shards and calls `tick`,
  // just as TokenLoader::checksums() does.
  void identify(const std::function<void()>& tick = {});

  LoaderState state() const;
  // Continues each source at its position in `state`. If both this loader and `state` identify their sources, sources
  // may have been added, removed or reordered since `state` was saved: a source continues if `state` has one with the
  // same shards, and otherwise begins at its first window. Returns the names of the sources that begin. Without these
  // identities, throws UserError if `state` has a different number of sources. Always throws UserError if a source that
  // continues has a different number of windows, or lacks the saved position.
  std::vector<std::string> restore(const LoaderState& state);

  const std::vector<NamedText>& sources() const { return sources_; }
  // The share of the run's windows that each source should give; they sum to 1.
  const std::vector<double>& shares() const { return shares_; }
  // Each source's name and the share of the windows read up to `state` that came from it. Empty if nothing was read or
  // there is only one source.
  std::vector<std::pair<std::string, double>> shares_read(const LoaderState& state) const;

 private:
  // The source of the next window. Updates SourceState::due of all sources.
  size_t next_source();
  // The index, in file order, of the next window of the source.
  int64_t next_window(size_t source) const;
  std::vector<std::string> restore_by_fingerprint(const std::vector<SourceState>& saved);

  std::vector<NamedText> sources_;
  std::vector<double> shares_;
  std::vector<SourceState> states_;
  uint64_t seed_;
  int rank_, world_size_;
};

}  // namespace gptmoe
