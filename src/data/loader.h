#pragma once
// Windows of token shards, in the order of the files. A window is T+1 consecutive tokens of one shard, taken at stride
// T: inputs are tokens [i, i+T), targets [i+1, i+T+1). Training reads them through a BatchLoader (data/batches.h).
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "data/shard_file.h"

namespace gptmoe {

struct LoaderOptions {
  std::string shards = {};      // glob
  int64_t sequence_length = 0;  // T
  int64_t vocab_size = 0;       // V: every token read is checked to be below it
};

class TokenLoader {
 public:
  // Opens every matching shard. Throws UserError if none matches, if one is broken or differs from what its
  // manifest.json lists (data/shard_seals.h), or if no window fits. Reads the checksums of all shards if any of them
  // has a seal.
  explicit TokenLoader(LoaderOptions options);

  // inputs_T, targets_T (i32, T elements) = window `index` in file order. Throws UserError naming the shard and
  // position of a token id outside the vocabulary, and the errors of Shard::copy().
  void window(int64_t index, const Tensor& inputs_T, const Tensor& targets_T) const;

  // The shards' checksums. The first call reads the shards, which can take long if there are thousands: it calls
  // `tick`, if given, after each shard, and shows progress on a terminal.
  const std::vector<uint64_t>& checksums(const std::function<void()>& tick = {}) const;
  // Identifies these shards by their sizes and checksums, not by their paths.
  std::string fingerprint(const std::function<void()>& tick = {}) const;

  const std::string& pattern() const { return options_.shards; }
  int64_t windows() const { return first_window_.back(); }
  int64_t tokens() const { return tokens_; }  // over all shards
  int64_t shards() const { return std::ssize(shards_); }
  const std::vector<Shard>& shard_files() const { return shards_; }

 private:
  LoaderOptions options_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_window_;        // of each shard; one more entry than shards: the last one is the total
  mutable std::vector<uint64_t> checksums_;  // empty until they are asked for
  int64_t tokens_ = 0;
};

// A text with a name, which may be empty if there is only one.
struct NamedText {
  std::string name;
  TokenLoader loader;
};

// Sums over the texts.
int64_t windows_of(const std::vector<NamedText>& texts);
int64_t tokens_of(const std::vector<NamedText>& texts);
int64_t shards_of(const std::vector<NamedText>& texts);
// Identifies the shards of all texts by their sizes and checksums. Calls `tick`, just as TokenLoader::checksums() does.
std::string fingerprint_of(const std::vector<NamedText>& texts, const std::function<void()>& tick = {});

}  // namespace gptmoe
