#include "corpus/shard_set.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {

namespace fs = std::filesystem;

std::string shard_name(const std::string& split, size_t shard) {
  char number[24];
  std::snprintf(number, sizeof number, "_%06zu.bin", shard);
  return split + number;
}

ShardSet::ShardSet(const fs::path& folder, std::string split, const ShardFormat& format, int64_t shard_tokens)
    : folder_(folder), split_(std::move(split)), format_(format), shard_tokens_(shard_tokens) {}

fs::path ShardSet::path(size_t shard) const { return folder_ / shard_name(split_, shard); }

void ShardSet::resume(const ShardRecord& record) {
  record_ = record;
  for (published_ = 0; published_ < record.finished.size(); ++published_) {
    const fs::path shard = path(published_);
    if (!fs::exists(shard) && fs::exists(partial_path(shard))) publish_shard(shard);
    const int64_t tokens = Shard(shard).size();
    if (tokens != record.finished[published_])
      user_error(shard.string(), ": holds ", grouped_digits(tokens), " tokens, but ",
                 grouped_digits(record.finished[published_]), " were written to it");
  }
  if (record.unfinished > 0) writer_.emplace(path(published_), format_, record.unfinished);
  remove_partial_files(record.unfinished > 0 ? partial_path(path(published_)) : fs::path());
}

void ShardSet::append(std::string_view stored) {
  while (!stored.empty()) {
    if (!writer_) writer_.emplace(path(record_.finished.size()), format_);
    const auto room = static_cast<size_t>((shard_tokens_ - record_.unfinished) * format_.token_bytes);
    const std::string_view part = stored.substr(0, room);
    writer_->append(part);
    record_.unfinished = writer_->size();
    stored.remove_prefix(part.size());
    if (record_.unfinished == shard_tokens_) finish_shard();
  }
}

void ShardSet::finish() {
  if (writer_) finish_shard();
}

void ShardSet::finish_shard() {
  writer_->finish();
  writer_.reset();
  record_.finished.push_back(std::exchange(record_.unfinished, 0));
}

void ShardSet::sync() {
  if (writer_) writer_->sync();
}

void ShardSet::publish() {
  for (; published_ < record_.finished.size(); ++published_) publish_shard(path(published_));
}

void ShardSet::remove() {
  writer_.reset();
  std::error_code ignored;
  while (published_ > 0) fs::remove(path(--published_), ignored);
  record_ = {};
  remove_partial_files({});
}

void ShardSet::remove_partial_files(const fs::path& but) {
  std::error_code ignored;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(split_ + "_") && name.ends_with(".bin.partial") && entry.path() != but)
      found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::remove(path, ignored);
}

}  // namespace gptmoe
