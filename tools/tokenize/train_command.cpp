#include <cstdio>
#include <deque>
#include <utility>

#include "base/check.h"
#include "base/lock.h"
#include "base/made_folders.h"
#include "base/ordered_workers.h"
#include "base/printable.h"
#include "base/progress.h"
#include "commands.h"
#include "corpus/encode_batches.h"
#include "tokenizer/bpe_trainer.h"
#include "wording.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct CountedBatch {
  WordCounts words;
  int64_t documents = 0, bytes = 0;
  std::vector<std::string> errors;
};

CountedBatch count_words(DocumentParser& parser, SplitPattern pattern, TextBatch batch) {
  CountedBatch counted;
  counted.errors = std::move(batch.errors);
  parser.parse(
      batch,
      [&](const DocumentPiece& piece) {
        counted.words.add(pattern, piece.text);
        counted.documents += piece.ends;
        counted.bytes += std::ssize(piece.text);
      },
      counted.errors);
  return counted;
}

struct ReadText {
  int64_t documents = 0, bytes = 0;
  SkippedErrors skipped;
};

ReadText read_words(DocumentReader& documents, int threads, BpeTrainer& trainer, ProgressLine& progress) {
  const JobClock clock;
  std::deque<DocumentParser> parsers;
  for (int thread = 0; thread < threads; ++thread) parsers.emplace_back(documents.input());
  ReadText read;
  run_ordered(
      threads, kBytesInFlight, [&] { return documents.next(); }, batch_weight,
      [&](int thread, TextBatch batch) {
        return count_words(parsers[static_cast<size_t>(thread)], trainer.pattern(), std::move(batch));
      },
      [&](CountedBatch batch) {
        trainer.add(batch.words);
        read.documents += batch.documents;
        read.bytes += batch.bytes;
        read.skipped.add(std::move(batch.errors));
        progress.show("counting words: " + reading_state(documents, clock) + rate(read.bytes, clock.seconds()) + ", " +
                      plural(read.documents, "document"));
      });
  require_documents(read.documents, documents, read.skipped);
  return read;
}

}  // namespace

int train_command(const TextInput& input, const TrainTokenizerOptions& options) {
  // These checks come before hours of reading.
  if (options.output.empty()) user_error("--output is empty; name the tokenizer.json to write");
  const MadeFolders folder(options.output.has_parent_path() ? options.output.parent_path() : ".", "correct --output");
  if (file_type_at(options.output) == fs::file_type::directory)
    user_error(options.output.string(), ": a folder; set --output to a file in it");
  const OutputLock lock(options.output, "is training this tokenizer; wait for it or name another --output");
  BpeTrainer::check(options.vocab_size, options.special);
  DocumentReader documents(input);
  BpeTrainer trainer(options.pattern);
  ProgressLine progress;
  const ReadText read = read_words(documents, options.threads, trainer, progress);
  const Tokenizer tokenizer = trainer.train(options.vocab_size, options.special, [&](int64_t tokens) {
    progress.show("merging: " + grouped_digits(tokens) + " of " + grouped_digits(options.vocab_size) + " tokens");
  });
  save_tokenizer(tokenizer, options.output);
  progress.clear();
  const std::string dropped = trainer.dropped_words() > 0
                                  ? ", " + plural(trainer.dropped_words(), "rare one") + " left out to save memory"
                                  : "";
  const bool short_of = tokenizer.vocab_size() < options.vocab_size;
  std::printf(
      "%s: %s tokens%s from %s (%s, %s%s)%s%s\n", printable(options.output.string()).c_str(),
      grouped_digits(tokenizer.vocab_size()).c_str(),
      short_of
          ? (" (of " + grouped_digits(options.vocab_size) + " requested: no pair is left that occurs twice)").c_str()
          : "",
      plural(read.documents, "document").c_str(), binary_bytes(read.bytes).c_str(),
      plural(trainer.distinct_words(), "distinct word").c_str(), dropped.c_str(), unread_note(documents).c_str(),
      skipped_note(read.skipped).c_str());
  return 0;
}

}  // namespace gptmoe
