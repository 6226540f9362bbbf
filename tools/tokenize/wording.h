#pragma once
// Parts of output lines that several commands share.
#include <cstdint>
#include <string>

#include "base/progress.h"
#include "corpus/encode_batches.h"

namespace gptmoe {

// "12.3 MB/s".
std::string rate(int64_t bytes, double seconds);
// "; 2 files of another kind not read (a.md, b.py), 2 hidden files or folders left out", "; 2 errors skipped, the
// first:
// ...": empty if there are none.
std::string unread_note(const DocumentReader& documents);
std::string skipped_note(const SkippedErrors& skipped);
// "41 %, 3:05 left, ": the reader's progress; empty if unknown.
std::string reading_state(const DocumentReader& documents, const JobClock& clock);

}  // namespace gptmoe
