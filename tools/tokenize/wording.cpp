#include "wording.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/printable.h"
#include "base/progress.h"

namespace gptmoe {

namespace {

std::string contents_of(const SplitRecord& split, const char* shard) {
  const std::string tokens = plural(split.counts.tokens, "token"),
                    documents = plural(split.counts.documents, "document");
  return (split.counts.documents == 0 ? tokens : documents + " (" + tokens + ")") + " in " +
         plural(std::ssize(split.shards.finished), shard);
}

}  // namespace

std::string contents_of(const JobSummary& summary) {
  const std::string train = contents_of(summary.train, "train shard");
  return summary.val.counts.tokens == 0 ? train : train + " and " + contents_of(summary.val, "val shard");
}

std::string rate(int64_t bytes, double seconds) {
  char out[48];
  std::snprintf(out, sizeof out, "%.1f MB/s", static_cast<double>(bytes) / 1e6 / std::max(seconds, 1e-3));
  return out;
}

std::string unread_note(const DocumentReader& documents) {
  std::string note;
  if (const UnreadFiles& files = documents.files_unread(); files.count > 0)
    note = "; " + plural(files.count, "file") + " of another kind not read (" + printable(files.names()) + ")";
  if (documents.files_hidden() > 0)
    note +=
        text(note.empty() ? "; " : ", ", grouped_digits(documents.files_hidden()),
             documents.files_hidden() == 1 ? " hidden file or folder left out" : " hidden files or folders left out");
  return note;
}

std::string skipped_note(const SkippedErrors& skipped) {
  if (skipped.count == 0) return "";
  return "; " + plural(skipped.count, "error") + " skipped, the first: " + printable(skipped.first[0]);
}

std::string reading_state(const DocumentReader& documents, const JobClock& clock) {
  const std::string state = clock.state(documents.bytes_read(), documents.bytes_total());
  return state.empty() ? "" : state + ", ";
}

}  // namespace gptmoe
