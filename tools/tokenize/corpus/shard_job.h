#pragma once
// A job that fills a folder with shards: DIR/train_000000.bin, train_000001.bin, ..., DIR/val_000000.bin, ... and
// DIR/manifest.json, which says what they hold and lets an interrupted job continue. Encoding and importing share it.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/lock.h"
#include "base/made_folders.h"
#include "corpus/encode_batches.h"
#include "corpus/manifest.h"
#include "corpus/shard_set.h"

namespace gptmoe {

enum class JobOutcome { done, was_done, stopped };

struct JobSummary {
  JobOutcome outcome = JobOutcome::done;
  int64_t resumed_bytes = 0;  // of text, encoded by earlier runs of the job
  SplitRecord train, val;
  SkippedErrors skipped;

  int64_t documents() const { return train.counts.documents + val.counts.documents; }
  int64_t bytes() const { return train.counts.bytes + val.counts.bytes; }
  int64_t tokens() const { return train.counts.tokens + val.counts.tokens; }
};

class ShardJob {
 public:
  // Creates and locks the folder. If it holds the same job, interrupted in any way, the job continues. Standard input
  // among the inputs cannot be read again, so such a job has no checkpoints. Throws UserError for a val_fraction or
  // shard_tokens out of range, and for a folder that cannot be created, that another process is writing to, or that
  // holds another job or shards without a manifest.
  ShardJob(const std::filesystem::path& output, JobIdentity identity, double checkpoint_seconds);

  // Where the input continues; nullopt for a new job.
  const std::optional<InputPosition>& resumed_at() const { return resumed_at_; }
  const JobSummary& summary() const { return summary_; }

  // Calls `work`, which adds batches and then calls finish() or stop(); does not call it if the job was done already.
  // After an error the job can continue from the last checkpoint. Before the first checkpoint, an error leaves the
  // folder as it was.
  JobSummary run(const std::function<void()>& work);

  // Appends a batch. The input can continue after it, unless `resumable` is false. Flushes everything to disk and
  // records it in the manifest every checkpoint_seconds and with every finished shard.
  void add(EncodedBatch batch, bool resumable = true);
  // Ends the job at a checkpoint; the latest batch must be resumable.
  void stop();
  // Ends a complete job. If `refuse` throws, leaves the folder as it was before the job, or at the last checkpoint if
  // the job was resumed.
  void finish(const std::function<void()>& refuse);
  // For finish(): throws UserError if val_fraction left a split without documents. The message for a single document
  // ends with `one_document_remedy`.
  void refuse_split(const std::string& one_document_remedy) const;

 private:
  void resume(const Manifest& manifest);
  void checkpoint(bool done);
  void abandon();

  JobIdentity identity_;
  double checkpoint_seconds_;
  bool repeatable_;  // the input can be read again; if not, checkpoints are useless
  std::filesystem::path folder_;
  MadeFolders made_;
  FolderLock lock_;
  ShardSet train_, val_;

  JobSummary summary_;
  std::optional<InputPosition> resumed_at_;
  ResumePoint here_;
  bool saved_ = false;  // the folder has a manifest of this job
  std::chrono::steady_clock::time_point last_checkpoint_ = std::chrono::steady_clock::now();
};

}  // namespace gptmoe
