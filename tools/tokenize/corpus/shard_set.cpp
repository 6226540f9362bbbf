#include "corpus/shard_set.h"

#include <cstdio>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/folder.h"
#include "base/progress.h"

namespace gptmoe {

namespace fs = std::filesystem;

namespace {

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) throw Failure(text(path.string(), ": cannot remove: ", error.message()));
}

}  // namespace

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
    if (!anything_at(shard) && anything_at(partial_path(shard))) publish_shard(shard);
    const Shard found(shard);
    const auto& [tokens, seal] = record.finished[published_];
    if (found.size() != tokens)
      user_error(shard.string(), ": holds ", grouped_digits(found.size()), " tokens, but ", grouped_digits(tokens),
                 " were written to it");
    if (!seal.samples.empty() && checksum_text(found.checksum()) != seal.samples)
      user_error(shard.string(), ": does not hold the tokens that were written to it");
  }
  if (record.unfinished > 0) resume_unfinished(record);
  remove_partial_files(record.unfinished > 0 ? partial_path(path(published_)) : fs::path());
}

void ShardSet::resume_unfinished(const ShardRecord& record) {
  const fs::path shard = path(published_);
  writer_.emplace(shard, format_, record.unfinished);
  checksum_ = tokens_checksum(partial_path(shard));  // the writer has cut the file to these tokens
  if (!record.unfinished_checksum.empty() && checksum_text(checksum_.value()) != record.unfinished_checksum)
    user_error(partial_path(shard).string(), ": does not hold the tokens that were written to it");
}

ShardRecord ShardSet::record() const {
  ShardRecord record = record_;
  if (record.unfinished > 0) record.unfinished_checksum = checksum_text(checksum_.value());
  return record;
}

void ShardSet::append(std::string_view stored) {
  while (!stored.empty()) {
    if (!writer_) writer_.emplace(path(record_.finished.size()), format_);
    const auto room = static_cast<size_t>((shard_tokens_ - record_.unfinished) * format_.token_bytes);
    const std::string_view part = stored.substr(0, room);
    writer_->append(part);
    checksum_.update(part.data(), std::ssize(part));
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
  const Shard shard(partial_path(path(record_.finished.size())));
  const ShardSeal seal{checksum_text(std::exchange(checksum_, {}).value()), checksum_text(shard.checksum())};
  record_.finished.push_back({std::exchange(record_.unfinished, 0), seal});
}

void ShardSet::sync() {
  if (writer_) writer_->sync();
}

void ShardSet::publish() {
  for (; published_ < record_.finished.size(); ++published_) publish_shard(path(published_));
}

void ShardSet::remove() {
  writer_.reset();
  while (published_ > 0) remove_file(path(--published_));
  record_ = {};
  checksum_ = {};
  remove_partial_files({});
}

void ShardSet::remove_partial_files(const fs::path& but) {
  for (const fs::path& path : folder_entries(folder_)) {
    const std::string name = path.filename();
    if (name.starts_with(split_ + "_") && name.ends_with(".bin.partial") && path != but) remove_file(path);
  }
}

}  // namespace gptmoe
