#include "inference/likelihoods.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "inference/forward_window.h"

namespace gptmoe {
namespace {

constexpr int64_t kLengthStep = 16;  // window lengths are multiples of this, so that few are needed

// A sequence to run: inputs are tokens [begin, end - 1) of a request, and tokens [first, end) are scored. The sequence
// serves `sharers` consecutive requests, which differ in their last token only (answers "A", "B", "C" to one question).
struct Row {
  size_t request;
  int64_t begin, first, end;
  size_t sharers = 1;

  int64_t length() const { return end - 1 - begin; }
};

bool share_inputs(const Request& a, const Request& b) {
  return a.first == b.first && a.tokens.size() == b.tokens.size() &&
         std::equal(a.tokens.begin(), a.tokens.end() - 1, b.tokens.begin());
}

std::vector<Row> cut_into_rows(std::span<const Request> requests, int64_t context) {
  std::vector<Row> rows;
  for (size_t r = 0; r < requests.size(); ++r) {
    const int64_t size = std::ssize(requests[r].tokens), first = requests[r].first;
    GPTMOE_CHECK(first > 0 && first < size);
    const bool whole = size - first <= context;
    if (whole && r > 0 && share_inputs(requests[r - 1], requests[r])) {
      ++rows.back().sharers;
      continue;
    }
    const int64_t stretch = whole ? size - first : std::max<int64_t>(1, context / 2);
    for (int64_t at = first; at < size; at += stretch) {
      const int64_t end = std::min(at + stretch, size);
      rows.push_back({r, std::max<int64_t>(0, end - 1 - context), at, end});
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.length() > b.length(); });
  return rows;
}

class Scorer {
 public:
  Scorer(const Gpt& gpt, Ops& ops, std::span<const Request> requests, const ScoringOptions& options)
      : gpt_(gpt), ops_(ops), requests_(requests), options_(options), results_(requests.size()) {
    for (Likelihood& result : results_) result.greedy = options.greedy;
  }

  // Scores the first rows, as many as fit in a micro-batch, and returns their number.
  size_t run(std::span<const Row> rows) {
    const int64_t longest = rows.front().length(), context = gpt_.config().max_position_embeddings;
    const int64_t T = std::min(context, (longest + kLengthStep - 1) / kLengthStep * kLengthStep);
    const int64_t B = std::clamp<int64_t>(options_.batch_tokens / T, 1, std::ssize(rows));
    if (!window_ || !window_->activations().tokens_BT.has_sizes({B, T})) {
      window_.reset();  // frees its memory first
      window_ = std::make_unique<ForwardWindow>(gpt_, ops_, *communicator_, B, T);
    }
    rows = rows.first(static_cast<size_t>(B));
    upload(window_->activations().tokens_BT, rows, 0, 0);
    window_->forward();
    size_t most_sharers = 0;
    for (const Row& row : rows) most_sharers = std::max(most_sharers, row.sharers);
    for (size_t sharer = 0; sharer < most_sharers; ++sharer) {
      upload(window_->activations().targets_BT, rows, sharer, 1);
      window_->loss();
      const std::vector<double> losses = download_values(ops_.memory(), window_->activations().losses_N);
      for (size_t b = 0; b < rows.size(); ++b)
        if (sharer < rows[b].sharers) read(rows[b], sharer, losses, static_cast<int64_t>(b) * T);
    }
    return rows.size();
  }

  std::vector<Likelihood> results() { return std::move(results_); }

 private:
  // Uploads each row's inputs (ahead = 0) or targets (ahead = 1).
  void upload(const Tensor& to_BT, std::span<const Row> rows, size_t sharer, int64_t ahead) {
    std::vector<int32_t> ids(static_cast<size_t>(to_BT.count()));
    auto out = ids.begin();
    for (const Row& row : rows) {
      const auto text = requests_[row.request + std::min(sharer, row.sharers - 1)].tokens.begin() + ahead;
      std::copy(text + row.begin, text + row.end - 1, out);
      out += to_BT.size(1);
    }
    ops_.memory().upload(to_BT, ids.data());
  }

  // Reads the results of a row whose tokens begin at `offset` of the micro-batch.
  void read(const Row& row, size_t sharer, const std::vector<double>& losses, int64_t offset) {
    const std::vector<int32_t>& tokens = requests_[row.request + sharer].tokens;
    Likelihood& result = results_[row.request + sharer];
    result.truncated |= row.begin > 0;
    for (int64_t i = row.first; i < row.end; ++i) {
      const int64_t n = offset + i - 1 - row.begin;  // the position whose target is token i
      result.log_likelihood -= losses[static_cast<size_t>(n)];
      if (!result.greedy) continue;
      const std::vector<float>& logits = window_->logits(n);
      const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
      result.greedy = likeliest == tokens[static_cast<size_t>(i)];
    }
    if (!std::isfinite(result.log_likelihood))
      throw Failure("the model's log-likelihoods are not finite, so its run diverged");
  }

  const Gpt& gpt_;
  Ops& ops_;
  std::span<const Request> requests_;
  ScoringOptions options_;
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
  std::unique_ptr<ForwardWindow> window_;
  std::vector<Likelihood> results_;
};

}  // namespace

std::vector<Likelihood> score_requests(const Gpt& gpt, Ops& ops, std::span<const Request> requests,
                                       const ScoringOptions& options,
                                       const std::function<void(int64_t done, int64_t total)>& on_progress) {
  const std::vector<Row> rows = cut_into_rows(requests, gpt.config().max_position_embeddings);
  int64_t total = 0, done = 0;
  for (const Row& row : rows) total += row.length();
  Scorer scorer(gpt, ops, requests, options);
  for (std::span<const Row> left(rows); !left.empty();) {
    const size_t scored = scorer.run(left);
    for (const Row& row : left.first(scored)) done += row.length();
    left = left.subspan(scored);
    on_progress(done, total);
  }
  return scorer.results();
}

}  // namespace gptmoe
