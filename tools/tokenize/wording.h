#pragma once
// Parts of output lines that several commands share.
#include <cstdint>
#include <string>

#include "base/progress.h"
#include "corpus/shard_job.h"

namespace gptmoe {

// "950 documents (2,345 tokens) in 3 train shards and 50 documents (120 tokens) in 1 val shard". Without the documents
// if they are not known: "2,345 tokens in 3 train shards".
std::string contents_of(const JobSummary& summary);
// "12.3 MB/s".
std::string rate(int64_t bytes, double seconds);
// "; 2 files of another kind not read (a.md, b.py), 2 hidden files or folders left out", "; 2 errors skipped, the
// first: ..."; empty if there are none.
std::string unread_note(const DocumentReader& documents);
std::string skipped_note(const SkippedErrors& skipped);
// "41 %, 3:05 left, ": the reader's progress; empty if unknown.
std::string reading_state(const DocumentReader& documents, const JobClock& clock);

}  // namespace gptmoe
