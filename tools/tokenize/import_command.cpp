#include <cstdio>
#include <optional>

#include "base/check.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "commands.h"
#include "wording.h"

namespace gptmoe {
int import_command(const TokenizerChoice& choice, ImportOptions options) {
  std::optional<Tokenizer> tokenizer;
  if (!choice.path.empty()) {
    tokenizer.emplace(load_tokenizer(choice.path, choice.options));
    options.tokenizer = &*tokenizer;
  }
  ProgressLine progress;
  const StopSignal signal;
  options.stop = [&] { return signal.requested(); };
  // Starts with the first batch: what earlier runs imported does not count towards the speed.
  std::optional<JobClock> clock;
  int64_t read_before = 0;
  const JobSummary summary = import_tokens(options, [&](const ImportProgress& so_far) {
    if (!clock) clock.emplace(read_before = so_far.bytes_read);
    const std::string state = clock->state(so_far.bytes_read, so_far.bytes_total);
    progress.show("importing: " + state + ", " + rate(so_far.bytes_read - read_before, clock->seconds()) + ", " +
                  metric_count(static_cast<double>(so_far.summary.tokens())) + " tokens");
  });
  progress.clear();
  if (summary.outcome == JobOutcome::stopped) {
    std::printf("%s: stopped after %s, saved; run the same command again to continue\n",
                printable(options.output.string()).c_str(), plural(summary.tokens(), "token").c_str());
    return 128 + signal.signal();
  }
  const bool was_done = summary.outcome == JobOutcome::was_done;
  std::printf("%s: %s%s\n", printable(options.output.string()).c_str(), was_done ? "complete already: " : "",
              contents_of(summary).c_str());
  return 0;
}

}  // namespace gptmoe
