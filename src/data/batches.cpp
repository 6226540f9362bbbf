#include "data/batches.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/progress.h"
#include "data/shuffle.h"

namespace gptmoe {
namespace {

int64_t windows_read(const SourceState& state) { return state.epoch * state.windows + state.position; }

void require_place(const SourceState& state, const TokenLoader& text) {
  if (state.windows != text.windows())
    user_error(text.pattern(), ": the saved run read ", grouped_digits(state.windows),
               " windows per epoch, but these shards have ", grouped_digits(text.windows()),
               "; resume with the same shards and train.sequence_length, or start a new run");
  if (state.epoch < 0 || state.position < 0 || state.position >= state.windows)
    user_error(text.pattern(), ": saved loader position ", state.position, " of epoch ", state.epoch,
               " does not exist (", grouped_digits(state.windows), " windows); the checkpoint is damaged, use another");
}

bool is_identified(const SourceState& state) { return state.fingerprint && state.shuffle; }

void advance(SourceState& state) {
  if (++state.position < state.windows) return;
  state.position = 0;
  ++state.epoch;
}

}  // namespace

BatchLoader::BatchLoader(std::vector<NamedText> sources, std::vector<double> shares, uint64_t seed, int rank,
                         int world_size)
    : sources_(std::move(sources)), shares_(std::move(shares)), seed_(seed), rank_(rank), world_size_(world_size) {
  GPTMOE_CHECK(!sources_.empty() && shares_.size() == sources_.size() && rank >= 0 && rank < world_size);
  const double total = std::accumulate(shares_.begin(), shares_.end(), 0.0);
  for (double& share : shares_) {
    GPTMOE_CHECK(share > 0, share);
    share /= total;
  }
  for (const NamedText& source : sources_)
    states_.push_back({.windows = source.loader.windows(), .shuffle = std::ssize(states_)});
}

void BatchLoader::next_batch(const Tensor& inputs_BT, const Tensor& targets_BT) {
  const int64_t B = inputs_BT.size(0), T = inputs_BT.size(1);
  for (int64_t i = 0; i < B * world_size_; ++i) {
    const size_t source = next_source();
    if (const int64_t row = i - rank_ * B; row >= 0 && row < B)
      sources_[source].loader.window(next_window(source), inputs_BT.rows(row, 1).view({T}),
                                     targets_BT.rows(row, 1).view({T}));
    advance(states_[source]);
  }
}

// Adds each source's share to its `due`. The window comes from the source with the largest `due`, which then falls by
// 1. The first source wins a tie.
size_t BatchLoader::next_source() {
  if (sources_.size() == 1) return 0;
  size_t most = 0;
  for (size_t s = 0; s < sources_.size(); ++s) {
    states_[s].due += shares_[s];
    if (states_[s].due > states_[most].due) most = s;
  }
  states_[most].due -= 1;
  return most;
}

int64_t BatchLoader::next_window(size_t source) const {
  const SourceState& state = states_[source];
  return shuffled_index(state.position, state.windows, seed_ + static_cast<uint64_t>(*state.shuffle),
                        static_cast<uint64_t>(state.epoch));
}

void BatchLoader::identify(const std::function<void()>& tick) {
  for (size_t s = 0; s < states_.size(); ++s) states_[s].fingerprint = sources_[s].loader.fingerprint(tick);
}

LoaderState BatchLoader::state() const {
  const SourceState& only = states_[0];
  if (states_.size() == 1 && !is_identified(only)) return {only.epoch, only.position, only.windows, {}};
  int64_t read = 0;
  for (const SourceState& state : states_) read += windows_read(state);
  const int64_t windows = windows_of(sources_);
  return {read / windows, read % windows, windows, states_};
}

std::vector<std::string> BatchLoader::restore(const LoaderState& saved) {
  std::vector<SourceState> states = saved.sources;
  if (!states.empty() && std::all_of(states.begin(), states.end(), is_identified) &&
      std::all_of(states_.begin(), states_.end(), is_identified))
    return restore_by_fingerprint(states);
  if (states.empty()) states = {{saved.epoch, saved.position, saved.windows}};
  if (states.size() != states_.size())
    user_error("data.train: has ", plural(std::ssize(states_), "source"), ", but the saved run had ", states.size(),
               "; resume with the same sources, or start a new run");
  for (size_t s = 0; s < states.size(); ++s) {
    require_place(states[s], sources_[s].loader);
    states[s].fingerprint = states_[s].fingerprint;
    if (!states[s].shuffle) states[s].shuffle = static_cast<int64_t>(s);
  }
  states_ = std::move(states);
  return {};
}

std::vector<std::string> BatchLoader::restore_by_fingerprint(const std::vector<SourceState>& saved) {
  std::set<int64_t> shuffles;  // in use; a new source gets an unused one
  for (const SourceState& state : saved) shuffles.insert(*state.shuffle);
  std::vector<SourceState> left = saved;
  std::vector<size_t> fresh;
  for (size_t s = 0; s < states_.size(); ++s) {
    const auto same = std::find_if(left.begin(), left.end(), [&](const SourceState& state) {
      return state.fingerprint == states_[s].fingerprint;
    });
    if (same == left.end()) {
      fresh.push_back(s);
      continue;
    }
    require_place(*same, sources_[s].loader);
    states_[s] = *same;
    left.erase(same);
  }
  std::vector<std::string> names;
  for (const size_t s : fresh) {
    int64_t shuffle = 0;
    while (!shuffles.insert(shuffle).second) ++shuffle;
    states_[s] = {.windows = states_[s].windows, .shuffle = shuffle, .fingerprint = states_[s].fingerprint};
    names.push_back(sources_[s].name);
  }
  if (!fresh.empty() || !left.empty())
    for (SourceState& state : states_) state.due = 0;
  return names;
}

std::vector<std::pair<std::string, double>> BatchLoader::shares_read(const LoaderState& state) const {
  std::vector<std::pair<std::string, double>> shares;
  const auto read = static_cast<double>(state.epoch * state.windows + state.position);
  for (size_t s = 0; read > 0 && sources_.size() > 1 && s < state.sources.size(); ++s)
    shares.emplace_back(sources_[s].name, static_cast<double>(windows_read(state.sources[s])) / read);
  return shares;
}

}  // namespace gptmoe
