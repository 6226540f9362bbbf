#include "corpus/encode_corpus.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "corpus/output_folder.h"
#include "corpus/shard_set.h"
#include "data/shard_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

void check_options(const EncodeOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1))
    user_error("--val-fraction ", options.val_fraction,
               ": give a share of documents at least 0 and below 1, such as 0.05");
  if (options.shard_tokens < 1 || options.shard_tokens > kMaxShardTokens)
    user_error("--shard-tokens ", options.shard_tokens, ": give 1 to ", kMaxShardTokens, " tokens");
  GPTMOE_CHECK(options.threads >= 1);
}

EncodeIdentity identity_of(const DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options) {
  EncodeIdentity identity;
  identity.tokenizer = tokenizer_fingerprint(tokenizer);
  identity.vocab_size = tokenizer.vocab_size();
  if (const auto end = tokenizer.end_of_text())
    identity.end_of_text = tokenizer.vocabulary().tokens[static_cast<size_t>(*end)];
  identity.val_fraction = options.val_fraction;
  identity.shard_tokens = options.shard_tokens;
  identity.field = documents.input().field;
  identity.inputs = documents.files();
  for (InputFile& file : identity.inputs) file.path = fs::path(file.path).lexically_normal().string();
  return identity;
}

// A run reads shards by glob, so leftovers of another encoding would mix in, even across the train/val split.
void refuse_unknown_shards(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if ((name.starts_with("train_") || name.starts_with("val_")) && name.ends_with(".bin"))
      user_error(entry.path().string(),
                 ": this folder holds shards of an earlier encoding; remove them or choose another --output");
  }
}

// Ends the work on batches and drops those in progress.
struct Stopped {};

class EncodeJob {
 public:
  EncodeJob(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options)
      : documents_(documents),
        tokenizer_(tokenizer),
        options_(options),
        identity_(identity_of(documents, tokenizer, options)),
        repeatable_(std::none_of(identity_.inputs.begin(), identity_.inputs.end(),
                                 [](const InputFile& file) { return file.path == kStandardInput; })),
        folder_(options.output),
        lock_(folder_.path(), "another process is encoding into this folder; wait for it or choose another --output"),
        train_(folder_.path(), "train", shard_format_for(tokenizer.vocab_size()), options.shard_tokens),
        val_(folder_.path(), "val", shard_format_for(tokenizer.vocab_size()), options.shard_tokens) {}

  EncodeSummary run(const std::function<void(const EncodeSummary&)>& progress) {
    if (fs::exists(folder_.path() / kManifestName)) {
      resume(read_manifest(folder_.path()));
    } else {
      refuse_unknown_shards(folder_.path());
      for (ShardSet* set : {&train_, &val_}) set->remove();  // leftovers of a run that was killed before a checkpoint
    }
    try {
      if (summary_.outcome != EncodeOutcome::was_done) encode(progress);
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

 private:
  void resume(const Manifest& manifest);
  void encode(const std::function<void(const EncodeSummary&)>& progress);
  void add(EncodedBatch batch);
  void checkpoint(bool done);
  void stop();
  void finish();
  void refuse_split();
  void abandon();

  DocumentReader& documents_;
  const Tokenizer& tokenizer_;
  const EncodeOptions& options_;
  EncodeIdentity identity_;
  bool repeatable_;  // if not, checkpoints are useless
  OutputFolder folder_;
  FolderLock lock_;
  ShardSet train_, val_;

  EncodeSummary summary_;
  ResumePoint here_;
  bool saved_ = false;  // the folder has a manifest of this job
  Clock::time_point last_checkpoint_ = Clock::now();
};

void EncodeJob::resume(const Manifest& manifest) {
  check_same_job(folder_.path(), manifest.identity, identity_);
  if (!repeatable_)
    user_error(folder_.path().string(), ": holds an encoding of standard input, which cannot ",
               "be checked for changes; choose another --output or remove the folder");
  saved_ = true;
  try {
    train_.resume(manifest.train.shards);
    val_.resume(manifest.val.shards);
  } catch (const UserError& error) {
    user_error(error.what(), "; ", kManifestName, " lists it: restore it, or remove ", folder_.path().string(),
               " and encode again");
  }
  summary_.train = manifest.train;
  summary_.val = manifest.val;
  summary_.skipped = manifest.skipped;
  summary_.resumed_bytes = summary_.bytes();
  if (!manifest.resume) {
    summary_.outcome = EncodeOutcome::was_done;
    return;
  }
  here_ = *manifest.resume;
  documents_.seek(here_.input);
}

void EncodeJob::encode(const std::function<void(const EncodeSummary&)>& progress) {
  try {
    encode_batches(documents_, tokenizer_, {options_.threads, options_.val_fraction}, [&](EncodedBatch batch) {
      if (options_.stop && options_.stop()) throw Stopped();
      add(std::move(batch));
      if (progress) progress(summary_);
    });
    finish();
  } catch (const Stopped&) {
    stop();
  }
}

void EncodeJob::stop() {
  summary_.outcome = EncodeOutcome::stopped;
  if (repeatable_)
    checkpoint(false);
  else
    abandon();
}

void EncodeJob::add(EncodedBatch batch) {
  for (auto [part, set, record] : {std::tuple(&batch.train, &train_, &summary_.train),  //
                                   std::tuple(&batch.val, &val_, &summary_.val)}) {
    set->append(part->stored);
    record->counts += part->counts;
  }
  summary_.skipped.add(std::move(batch.errors));
  here_.input = batch.end;
  here_.lowest_position = std::min(here_.lowest_position, batch.lowest_position);
  const bool due =
      std::chrono::duration<double>(Clock::now() - last_checkpoint_).count() >= options_.checkpoint_seconds;
  if (repeatable_ && (due || !train_.published() || !val_.published())) checkpoint(false);
}

void EncodeJob::checkpoint(bool done) {
  train_.sync();
  val_.sync();
  Manifest manifest{identity_, summary_.train, summary_.val, summary_.skipped, here_};
  manifest.train.shards = train_.record();
  manifest.val.shards = val_.record();
  if (done) manifest.resume.reset();
  write_manifest(folder_.path(), manifest);  // the manifest also records the names of new partial files
  saved_ = true;
  if (!train_.published() || !val_.published()) {
    train_.publish();
    val_.publish();
    sync_directory(folder_.path());
  }
  last_checkpoint_ = Clock::now();
}

void EncodeJob::finish() {
  try {
    refuse_split();
  } catch (...) {
    abandon();
    throw;
  }
  val_.finish();
  train_.finish();
  checkpoint(true);
}

void EncodeJob::refuse_split() {
  const int64_t documents = summary_.documents(), val_documents = summary_.val.counts.documents;
  const double fraction = options_.val_fraction;
  require_documents(documents, documents_, summary_.skipped);
  if (fraction > 0 && documents == 1)
    user_error("--val-fraction ", fraction, ": the input is one document, and documents are not split; give ",
               "several .txt files, a .jsonl with one document per line, or --val-fraction 0");
  if (fraction > 0 && val_documents == 0)
    user_error("--val-fraction ", fraction, ": none of the ", documents,
               " documents fell into validation; give --val-fraction ",
               std::ceil(here_.lowest_position * 1000 + 1e-6) / 1000,
               " or more, add documents, or use --val-fraction 0");
  if (val_documents == documents)
    user_error("--val-fraction ", fraction, ": all of the ", documents,
               " documents fell into validation; give a smaller fraction or more documents");
}

// Removes all files of the job. folder_ then removes the folders that it created for the job, if they are empty.
void EncodeJob::abandon() {
  std::error_code ignored;
  fs::remove(folder_.path() / kManifestName, ignored);
  for (ShardSet* set : {&train_, &val_}) set->remove();
  saved_ = false;
}

}  // namespace

EncodeSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                            const std::function<void(const EncodeSummary&)>& progress) {
  check_options(options);
  return EncodeJob(documents, tokenizer, options).run(progress);
}

}  // namespace gptmoe
