#include "wording.h"

#include <algorithm>
#include <cstdio>

#include "base/progress.h"

namespace gptmoe {

std::string rate(int64_t bytes, double seconds) {
  char out[48];
  std::snprintf(out, sizeof out, "%.1f MB/s", static_cast<double>(bytes) / 1e6 / std::max(seconds, 1e-3));
  return out;
}

std::string ignored_note(const DocumentReader& documents) {
  return documents.files_ignored() == 0 ? ""
                                        : "; " + plural(documents.files_ignored(), "file") + " of another kind ignored";
}

std::string skipped_note(const SkippedErrors& skipped) {
  return skipped.count == 0 ? "" : "; " + plural(skipped.count, "error") + " skipped, the first: " + skipped.first[0];
}

std::string reading_state(const DocumentReader& documents, const JobClock& clock) {
  const std::string state = clock.state(documents.bytes_read(), documents.bytes_total());
  return state.empty() ? "" : state + ", ";
}

}  // namespace gptmoe
