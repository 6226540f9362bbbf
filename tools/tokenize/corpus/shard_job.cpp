#include "corpus/shard_job.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/folder.h"
#include "data/shard_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

JobIdentity checked(JobIdentity identity) {
  if (!(identity.val_fraction >= 0 && identity.val_fraction < 1))
    user_error("--val-fraction ", shortest(identity.val_fraction),
               ": give a share of documents, from 0 to below 1, such as 0.05");
  if (identity.shard_tokens < 1 || identity.shard_tokens > kMaxShardTokens)
    user_error("--shard-tokens ", identity.shard_tokens, ": give 1 to ", kMaxShardTokens, " tokens");
  for (InputFile& file : identity.inputs) file.path = fs::path(file.path).lexically_normal().string();
  return identity;
}

const fs::path& named(const fs::path& output) {
  if (output.empty()) user_error("--output is empty; give it a name");
  return output;
}

// A run reads shards by glob, so leftovers of another job would mix in, even across the train/val split.
void refuse_unknown_shards(const fs::path& folder) {
  for (const fs::path& entry : folder_entries(folder)) {
    const std::string name = entry.filename();
    if ((name.starts_with("train_") || name.starts_with("val_")) && name.ends_with(".bin"))
      user_error(entry.string(),
                 ": this folder holds shards of an earlier encoding; remove them or choose another --output");
  }
}

}  // namespace

ShardJob::ShardJob(const fs::path& output, JobIdentity identity, double checkpoint_seconds)
    : identity_(checked(std::move(identity))),
      checkpoint_seconds_(checkpoint_seconds),
      repeatable_(std::none_of(identity_.inputs.begin(), identity_.inputs.end(),
                               [](const InputFile& file) { return file.path == kStandardInput; })),
      folder_(named(output)),
      made_(folder_, "correct --output"),
      lock_(folder_, "is writing shards into this folder; wait for it or choose another --output"),
      train_(folder_, "train", shard_format_for(identity_.vocab_size), identity_.shard_tokens),
      val_(folder_, "val", shard_format_for(identity_.vocab_size), identity_.shard_tokens) {
  if (anything_at(folder_ / kManifestName)) {
    resume(read_manifest(folder_));
  } else {
    refuse_unknown_shards(folder_);
    for (ShardSet* set : {&train_, &val_}) set->remove();  // leftovers of a run that was killed before a checkpoint
  }
}

void ShardJob::resume(const Manifest& manifest) {
  check_same_job(folder_, manifest.identity, identity_);
  if (!repeatable_)
    user_error(folder_.string(), ": holds an encoding of standard input, which cannot ",
               "be checked for changes; choose another --output or remove the folder");
  saved_ = true;
  try {
    train_.resume(manifest.train.shards);
    val_.resume(manifest.val.shards);
  } catch (const UserError& error) {
    user_error(error.what(), "; ", kManifestName, " lists it: restore it, or remove ", folder_.string(),
               " and start over");
  }
  summary_.train = manifest.train;
  summary_.val = manifest.val;
  summary_.skipped = manifest.skipped;
  summary_.resumed_bytes = summary_.bytes();
  if (!manifest.resume) {
    summary_.outcome = JobOutcome::was_done;
    return;
  }
  here_ = *manifest.resume;
  resumed_at_ = here_.input;
}

JobSummary ShardJob::run(const std::function<void()>& work) {
  try {
    if (summary_.outcome != JobOutcome::was_done) work();
  } catch (const Failure& failure) {
    if (!saved_) abandon();
    if (!saved_) throw;
    throw Failure(text(failure.what(), "; everything up to the last checkpoint is saved: remove the cause and run ",
                       "the same command again to continue"));
  } catch (...) {
    if (!saved_) abandon();
    throw;
  }
  summary_.train.shards = train_.record();
  summary_.val.shards = val_.record();
  return summary_;
}

void ShardJob::add(EncodedBatch batch, bool resumable) {
  for (auto [part, set, record] : {std::tuple(&batch.train, &train_, &summary_.train),  //
                                   std::tuple(&batch.val, &val_, &summary_.val)}) {
    set->append(part->stored);
    record->counts += part->counts;
  }
  summary_.skipped.add(std::move(batch.errors));
  here_.input = batch.end;
  here_.lowest_position = std::min(here_.lowest_position, batch.lowest_position);
  const bool due = std::chrono::duration<double>(Clock::now() - last_checkpoint_).count() >= checkpoint_seconds_;
  if (repeatable_ && resumable && (due || !train_.published() || !val_.published())) checkpoint(false);
}

void ShardJob::checkpoint(bool done) {
  train_.sync();
  val_.sync();
  Manifest manifest{identity_, summary_.train, summary_.val, summary_.skipped, here_};
  manifest.train.shards = train_.record();
  manifest.val.shards = val_.record();
  if (done) manifest.resume.reset();
  write_manifest(folder_, manifest);  // the manifest also records the names of new partial files
  saved_ = true;
  if (!train_.published() || !val_.published()) {
    train_.publish();
    val_.publish();
    sync_directory(folder_);
  }
  last_checkpoint_ = Clock::now();
}

void ShardJob::stop() {
  summary_.outcome = JobOutcome::stopped;
  if (repeatable_)
    checkpoint(false);
  else
    abandon();
}

void ShardJob::finish(const std::function<void()>& refuse) {
  try {
    refuse();
  } catch (...) {
    if (!resumed_at_) abandon();
    throw;
  }
  val_.finish();
  train_.finish();
  checkpoint(true);
}

void ShardJob::refuse_split(const std::string& one_document_remedy) const {
  const int64_t documents = summary_.documents(), val_documents = summary_.val.counts.documents;
  const double fraction = identity_.val_fraction;
  if (fraction == 0) return;
  if (documents == 1)
    user_error("--val-fraction ", shortest(fraction), ": the input is one document, and documents are not split; ",
               one_document_remedy);
  if (val_documents == 0)
    user_error("--val-fraction ", shortest(fraction), ": none of the ", documents,
               " documents fell into validation; give --val-fraction ",
               std::ceil(here_.lowest_position * 1000 + 1e-6) / 1000,
               " or more, add documents, or use --val-fraction 0");
  if (val_documents == documents)
    user_error("--val-fraction ", shortest(fraction), ": all of the ", documents,
               " documents fell into validation; give a smaller fraction or more documents");
}

// Leaves the folder as it was before the job. made_ then removes the folders that were made for it.
void ShardJob::abandon() {
  saved_ = false;
  try {
    fs::remove(folder_ / kManifestName);
    for (ShardSet* set : {&train_, &val_}) set->remove();
  } catch (const std::exception&) {
    // The reason why the job ends is reported. The next job in this folder removes what is left, or its error names it.
  }
}

}  // namespace gptmoe
