// encode and count: commands that turn text into tokens.
#include <cstdio>

#include "base/check.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "commands.h"
#include "wording.h"

namespace gptmoe {
namespace {

std::string bytes_per_token(int64_t bytes, int64_t tokens) {
  char out[48];
  std::snprintf(out, sizeof out, "%.2f bytes a token", static_cast<double>(bytes) / static_cast<double>(tokens));
  return out;
}

std::string describe(const JobSummary& summary) {
  return contents_of(summary) + ", " + binary_bytes(summary.bytes()) + " of text, " +
         bytes_per_token(summary.bytes(), summary.tokens());
}

void print_stopped(const EncodeOptions& options, const DocumentReader& documents, const JobSummary& summary) {
  for (const InputFile& file : documents.files())
    if (file.path == kStandardInput) {
      std::printf("%s: stopped; standard input cannot be read again, so nothing is kept\n",
                  printable(options.output.string()).c_str());
      return;
    }
  std::printf("%s: stopped after %s (%s of text), saved; run the same command again to continue\n",
              printable(options.output.string()).c_str(), plural(summary.documents(), "document").c_str(),
              binary_bytes(summary.bytes()).c_str());
}

}  // namespace

int encode_command(const TokenizerChoice& choice, const TextInput& input, EncodeOptions options) {
  const Tokenizer tokenizer = load_tokenizer(choice.path, choice.options);
  DocumentReader documents(input, batch_bytes_for(options.threads));
  ProgressLine progress;
  const StopSignal signal;
  options.stop = [&] { return signal.requested(); };
  std::optional<JobClock> clock;  // starts with the first batch: skipping to the resume point must not affect the speed
  const JobClock total;
  const JobSummary summary = encode_corpus(documents, tokenizer, options, [&](const JobSummary& so_far) {
    if (!clock) clock.emplace(documents.bytes_read());
    progress.show("encoding: " + reading_state(documents, *clock) +
                  rate(so_far.bytes() - so_far.resumed_bytes, total.seconds()) + ", " +
                  plural(so_far.documents(), "document") + ", " + metric_count(static_cast<double>(so_far.tokens())) +
                  " tokens");
  });
  progress.clear();
  if (summary.outcome == JobOutcome::stopped) {
    print_stopped(options, documents, summary);
    return 128 + signal.signal();
  }
  const bool was_done = summary.outcome == JobOutcome::was_done;
  std::printf("%s: %s%s%s%s%s\n", printable(options.output.string()).c_str(), was_done ? "complete already: " : "",
              describe(summary).c_str(),
              was_done ? "" : (", " + rate(summary.bytes() - summary.resumed_bytes, total.seconds())).c_str(),
              unread_note(documents).c_str(), skipped_note(summary.skipped).c_str());
  return 0;
}

int count_command(const TokenizerChoice& choice, const TextInput& input, int threads) {
  const Tokenizer tokenizer = load_tokenizer(choice.path, choice.options);
  DocumentReader documents(input, batch_bytes_for(threads));
  ProgressLine progress;
  const JobClock clock;
  TextCounts counts;
  SkippedErrors skipped;
  encode_batches(documents, tokenizer, {.threads = threads}, [&](EncodedBatch batch) {
    counts += batch.train.counts;
    skipped.add(std::move(batch.errors));
    progress.show("counting: " + reading_state(documents, clock) + rate(counts.bytes, clock.seconds()) + ", " +
                  plural(counts.documents, "document") + ", " + metric_count(static_cast<double>(counts.tokens)) +
                  " tokens");
  });
  progress.clear();
  require_documents(counts.documents, documents, skipped);
  std::printf("%s, %s of text, %s, %s, %s%s%s\n", plural(counts.documents, "document").c_str(),
              plural(counts.bytes, "byte").c_str(), plural(counts.tokens, "token").c_str(),
              bytes_per_token(counts.bytes, counts.tokens).c_str(), rate(counts.bytes, clock.seconds()).c_str(),
              unread_note(documents).c_str(), skipped_note(skipped).c_str());
  return 0;
}

}  // namespace gptmoe
