#pragma once
// Parts of the lines that several commands print.
#include <cstdint>
#include <string>

#include "base/progress.h"
#include "corpus/encode_batches.h"

namespace gptmoe {

// "12.3 MB/s".
std::string rate(int64_t bytes, double seconds);
// "; 3 files of another kind ignored", "; 2 errors skipped, the first: ...": empty where there are none.
std::string ignored_note(const DocumentReader& documents);
std::string skipped_note(const SkippedErrors& skipped);
// "41 %, 3:05 left, ": how far the reader is; empty where that is not known.
std::string reading_state(const DocumentReader& documents, const JobClock& clock);

}  // namespace gptmoe
