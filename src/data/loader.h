#pragma once
// Batches of training windows from token shards.
//
// A window is T+1 consecutive tokens of one shard, taken at stride T: inputs are tokens [i, i+T), targets [i+1, i+T+1).
// Each epoch visits every window once, in an order that depends on (seed, epoch) alone. Micro-batches follow this one
// global order: at position p, rank r of R ranks takes windows [p + r*B, p + (r+1)*B) and p advances by B*R on every
// rank. So ranks read disjoint windows, and the tokens of a step do not depend on how the step is split over ranks and
// micro-batches. An epoch may end inside a micro-batch; the next epoch begins in the same micro-batch.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "data/shard_file.h"

namespace gptmoe {

enum class WindowOrder { shuffled, sequential };

struct LoaderOptions {
  std::string shards = {};      // glob
  int64_t sequence_length = 0;  // T
  int64_t vocab_size = 0;       // V: every token read is checked to be below it
  WindowOrder order = WindowOrder::shuffled;
  uint64_t seed = 0;
  int rank = 0, world_size = 1;
};

// What a checkpoint keeps: where in the global order the next micro-batch begins.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;  // windows of this epoch already read, over all ranks; < windows
  int64_t windows = 0;   // per epoch: detects different data on restore
  bool operator==(const LoaderState&) const = default;
};

class TokenLoader {
 public:
  // Opens every matching shard. Throws UserError if none matches, one is broken or not what its manifest.json lists
  // (data/shard_seals.h), or no window fits. Reads the checksums of all shards if one of them has a seal.
  explicit TokenLoader(LoaderOptions options);

  // inputs_BT, targets_BT (i32, (B, T)) = this rank's rows of the next micro-batch; B may differ from call to call.
  // Throws UserError naming shard and position of a token id outside the vocabulary, and as Shard does if a shard has
  // been truncated or cannot be read.
  void next_batch(const Tensor& inputs_BT, const Tensor& targets_BT);
  // inputs_T, targets_T (i32, T elements) = window `index` in file order, for evaluation. The state does not change.
  void window(int64_t index, const Tensor& inputs_T, const Tensor& targets_T) const;

  LoaderState state() const;
  // Throws UserError if `state` belongs to other data (another number of windows).
  void restore(const LoaderState& state);

  // The shards' checksums. The first call reads them, which can take long if there are thousands of shards: it calls
  // `tick`, if given, after each of them, and shows progress on a terminal.
  const std::vector<uint64_t>& checksums(const std::function<void()>& tick = {}) const;
  // Identifies these shards by their sizes and checksums, not by their paths.
  std::string fingerprint(const std::function<void()>& tick = {}) const;

  int64_t windows() const { return first_window_.back(); }  // per epoch
  int64_t tokens() const { return tokens_; }                // over all shards
  int64_t shards() const { return std::ssize(shards_); }
  const std::vector<Shard>& shard_files() const { return shards_; }

 private:
  void read_window(int64_t index, int32_t* inputs_T, int32_t* targets_T) const;
  // The index, in file order, of the window that is read `offset` windows after the current position, perhaps in a
  // later epoch.
  int64_t window_at(int64_t offset) const;

  LoaderOptions options_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_window_;        // of each shard; one more entry than shards: the last one is the total
  mutable std::vector<uint64_t> checksums_;  // empty until they are asked for
  int64_t tokens_ = 0;
  int64_t epoch_ = 0, position_ = 0;
};

}  // namespace gptmoe
