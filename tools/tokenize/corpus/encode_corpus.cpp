#include "corpus/encode_corpus.h"

#include <utility>

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

JobIdentity identity_of(const DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options) {
  JobIdentity identity;
  identity.command = "encode";
  identity.tokenizer = tokenizer_fingerprint(tokenizer);
  identity.vocab_size = tokenizer.vocab_size();
  if (const auto end = tokenizer.end_of_text())
    identity.end_of_text = tokenizer.vocabulary().tokens[static_cast<size_t>(*end)];
  identity.val_fraction = options.val_fraction;
  identity.shard_tokens = options.shard_tokens;
  const int64_t val_files = std::ssize(documents.files()) - documents.train_files();
  identity.options = {{"field", documents.input().field},
                      {"val", val_files == 0 ? kNotGiven : plural(val_files, "file")}};
  identity.inputs = documents.files();
  return identity;
}

// Ends the work on batches and drops those in progress.
struct Stopped {};

}  // namespace

JobSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                         const std::function<void(const JobSummary&)>& progress) {
  GPTMOE_CHECK(options.threads >= 1);
  const bool has_val_files = documents.train_files() < std::ssize(documents.files());
  if (options.val_fraction > 0 && has_val_files)
    user_error("--val and --val-fraction: both choose the validation data; give one of them");
  ShardJob job(options.output, identity_of(documents, tokenizer, options), options.checkpoint_seconds);
  if (job.resumed_at()) documents.seek(*job.resumed_at());
  return job.run([&] {
    try {
      encode_batches(documents, tokenizer, {options.threads, options.val_fraction}, [&](EncodedBatch batch) {
        if (options.stop && options.stop()) throw Stopped();
        job.add(std::move(batch));
        if (progress) progress(job.summary());
      });
    } catch (const Stopped&) {
      return job.stop();
    }
    job.finish([&] {
      require_documents(job.summary().documents(), documents, job.summary().skipped);
      job.refuse_split("give several .txt files, a .jsonl with one document per line, or --val-fraction 0");
      if (job.summary().train.counts.documents == 0) user_error("no document with text in it among those of --input");
      if (has_val_files && job.summary().val.counts.documents == 0)
        user_error("no document with text in it among those of --val");
    });
  });
}

}  // namespace gptmoe
