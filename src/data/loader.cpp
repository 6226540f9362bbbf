#include "data/loader.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/slow_job.h"
#include "data/shard_seals.h"

namespace gptmoe {
namespace {

template <typename Count>
int64_t sum(const std::vector<NamedText>& texts, Count count) {
  int64_t total = 0;
  for (const NamedText& text : texts) total += count(text.loader);
  return total;
}

}  // namespace

TokenLoader::TokenLoader(LoaderOptions options) : options_(std::move(options)) {
  GPTMOE_CHECK(options_.sequence_length > 0 && options_.vocab_size > 0);
  const auto paths = glob_files(options_.shards);
  if (paths.empty())
    user_error(options_.shards, ": no file matches; make shards with gptmoe-tokenize encode, or correct the path",
               options_.shards.find('[') == std::string::npos ? "" : " (if a name has a [, write \\[ in the pattern)");
  const int64_t T = options_.sequence_length;
  int64_t longest = 0;
  first_window_.push_back(0);
  shards_.reserve(paths.size());
  SlowJob job("opening " + options_.shards, std::ssize(paths));
  for (const auto& path : paths) {
    job.advance();
    const Shard& shard = shards_.emplace_back(path);
    tokens_ += shard.size();
    longest = std::max(longest, shard.size());
    first_window_.push_back(first_window_.back() + std::max<int64_t>(shard.size() - 1, 0) / T);
  }
  if (windows() == 0)
    user_error(options_.shards, ": the longest of ", shards_.size(), shards_.size() == 1 ? " shard" : " shards",
               " has ", grouped_digits(longest), " tokens, too few for sequence_length ", grouped_digits(T),
               " (a window takes ", grouped_digits(T + 1), "); lower train.sequence_length or give more text");
  ShardSeals seals;
  if (std::any_of(shards_.begin(), shards_.end(), [&](const Shard& shard) { return seals.find(shard.path()); }))
    for (size_t i = 0; i < shards_.size(); ++i) seals.require_samples(shards_[i], checksums()[i]);
}

const std::vector<uint64_t>& TokenLoader::checksums(const std::function<void()>& tick) const {
  if (checksums_.size() == shards_.size()) return checksums_;
  SlowJob job("checksums of " + options_.shards, shards());
  checksums_.clear();
  for (const Shard& shard : shards_) {
    checksums_.push_back(shard.checksum());
    job.advance();
    if (tick) tick();
  }
  return checksums_;
}

std::string TokenLoader::fingerprint(const std::function<void()>& tick) const {
  Checksum checksum;
  for (const uint64_t of_shard : checksums(tick)) checksum.update(&of_shard, sizeof of_shard);
  return text(shards(), " shards of ", grouped_digits(tokens_), " tokens, checksum ", checksum_text(checksum.value()));
}

void TokenLoader::window(int64_t index, const Tensor& inputs, const Tensor& targets) const {
  const int64_t T = options_.sequence_length;
  GPTMOE_CHECK(index >= 0 && index < windows(), "window ", index, " of ", windows());
  GPTMOE_CHECK(inputs.count() == T && targets.count() == T, inputs.describe());
  auto *inputs_T = inputs.as<int32_t>(), *targets_T = targets.as<int32_t>();
  // The last shard that begins at or before the window. A shard without windows begins where the next one does.
  const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), index);
  const auto s = static_cast<size_t>(after - first_window_.begin()) - 1;
  const Shard& shard = shards_[s];
  const int64_t first = (index - first_window_[s]) * T;
  shard.copy(first, T, inputs_T);
  std::copy(inputs_T + 1, inputs_T + T, targets_T);
  shard.copy(first + T, 1, targets_T + T - 1);
  const auto outside = [V = static_cast<uint64_t>(options_.vocab_size)](int32_t id) {
    return static_cast<uint32_t>(id) >= V;
  };
  for (int64_t t = 0; t <= T; ++t)
    if (outside(t < T ? inputs_T[t] : targets_T[T - 1]))
      user_error(shard.path().string(), ": token ", first + t, " has id ", shard.token(first + t),
                 ", but model.vocab_size is ", options_.vocab_size,
                 "; raise model.vocab_size or encode the text with the model's tokenizer");
}

int64_t windows_of(const std::vector<NamedText>& texts) {
  return sum(texts, [](const TokenLoader& loader) { return loader.windows(); });
}

int64_t tokens_of(const std::vector<NamedText>& texts) {
  return sum(texts, [](const TokenLoader& loader) { return loader.tokens(); });
}

int64_t shards_of(const std::vector<NamedText>& texts) {
  return sum(texts, [](const TokenLoader& loader) { return loader.shards(); });
}

std::string fingerprint_of(const std::vector<NamedText>& texts, const std::function<void()>& tick) {
  std::string all;
  for (const NamedText& text : texts) all += (all.empty() ? "" : "; ") + text.loader.fingerprint(tick);
  return all;
}

}  // namespace gptmoe
