#include "corpus/import_tokens.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/progress.h"
#include "base/rng.h"
#include "corpus/token_documents.h"
#include "corpus/token_inputs.h"

namespace gptmoe {
namespace {

TokenFileOptions file_options(const ImportOptions& options) {
  TokenFileOptions result;
  result.vocab_size = options.tokenizer ? options.tokenizer->vocab_size() : options.vocab_size;
  if (result.vocab_size == 0) user_error("give --tokenizer, or --vocab-size for ids without one");
  if (result.vocab_size < 1 || result.vocab_size > kMaxVocabSize)
    user_error("--vocab-size ", result.vocab_size, ": give 1 to ", kMaxVocabSize, " entries");
  result.format = token_format_named(options.format);
  result.type = id_type_named(options.type);
  GPTMOE_CHECK(options.format.empty() || result.format, options.format);
  GPTMOE_CHECK(options.type.empty() || result.type, options.type);
  return result;
}

class Importer {
 public:
  Importer(const ImportOptions& options, const std::function<void(const ImportProgress&)>& progress)
      : options_(options), file_options_(file_options(options)), end_(options.end), progress_(progress) {
    if (options.tokenizer && !end_) end_ = options.tokenizer->end_of_text();
    if (end_ && (*end_ < 0 || *end_ >= file_options_.vocab_size))
      user_error("--eot ", *end_, ": give an id from 0 to ", file_options_.vocab_size - 1);
    if (options.val_fraction > 0 && !options.val_inputs.empty())
      user_error("--val and --val-fraction: both choose the validation data; give one of them");
    list_files();
    list_text_bytes();
    inspect_files();
  }

  JobSummary run() {
    ShardJob job(options_.output, identity(), options_.checkpoint_seconds);
    job_ = &job;
    if (job.resumed_at()) here_ = *job.resumed_at();
    return job.run([&] {
      while (here_.file < std::ssize(paths_))
        if (!import_file()) return job.stop();
      job.finish([&] { job.refuse_split("give files of several documents, --val FILE, or --val-fraction 0"); });
    });
  }

 private:
  TokenFile open(size_t file) const { return TokenFile(paths_[file], file_options_); }

  void list_files() {
    paths_ = list_token_files(options_.inputs);
    train_files_ = std::ssize(paths_);
    std::set<std::optional<FileId>> train;
    for (const std::string& path : paths_) train.insert(file_id(path));
    for (const std::string& path : list_token_files(options_.val_inputs)) {
      if (train.contains(file_id(path))) user_error(path, ": named for training and by --val; name it once");
      paths_.push_back(path);
    }
  }

  // Opens every file once, so that a bad one is found before anything is written.
  void inspect_files() {
    std::vector<InputFile> indexes;
    for (size_t i = 0; i < paths_.size(); ++i) {
      TokenFile file = open(i);
      if (options_.val_fraction > 0 && !file.index() && !end_)
        user_error(paths_[i], ": --val-fraction ", shortest(options_.val_fraction),
                   " needs to know where documents end; give --eot ID or --tokenizer, or choose files with --val");
      documents_known_ &= file.index() || end_;
      inputs_.push_back(input_file(paths_[i]));
      if (file.index()) indexes.push_back(input_file(file.index()->path()));
      starts_.push_back(bytes_total_);
      bytes_total_ += file.size() * file.type().bytes;
    }
    inputs_.insert(inputs_.end(), indexes.begin(), indexes.end());
  }

  void list_text_bytes() {
    if (!options_.tokenizer) return;
    for (const std::string& token : options_.tokenizer->vocabulary().tokens)
      text_bytes_.push_back(token.empty() ? kNoToken : static_cast<int32_t>(token.size()));
    for (const AddedToken& token : options_.tokenizer->vocabulary().added)
      if (token.special) text_bytes_[static_cast<size_t>(token.id)] = 0;
  }

  JobIdentity identity() const {
    const auto given = [](const std::string& option) { return option.empty() ? kNotGiven : option; };
    const int64_t val_files = std::ssize(paths_) - train_files_;
    JobIdentity identity;
    identity.command = "import";
    if (options_.tokenizer) {
      identity.tokenizer = tokenizer_fingerprint(*options_.tokenizer);
      if (end_) identity.end_of_text = options_.tokenizer->vocabulary().tokens[static_cast<size_t>(*end_)];
    }
    identity.vocab_size = file_options_.vocab_size;
    identity.val_fraction = options_.val_fraction;
    identity.shard_tokens = options_.shard_tokens;
    identity.options = {{"format", given(options_.format)},
                        {"dtype", given(options_.type)},
                        {"eot", given(end_ ? std::to_string(*end_) : "")},
                        {"val", given(val_files == 0 ? "" : plural(val_files, "file"))}};
    identity.inputs = inputs_;
    return identity;
  }

  // Imports one file from here_ on. Returns false if the job is to stop.
  bool import_file() {
    const auto file = static_cast<size_t>(here_.file);
    bool val = here_.file >= train_files_;
    TokenFile opened = open(file);
    const int64_t item = opened.type().bytes, first = here_.byte / item;
    TokenDocuments documents(std::move(opened), end_, first, here_.line);
    std::optional<TokenDocuments> ahead;  // finds the split of each document before it is copied
    if (options_.val_fraction > 0) ahead.emplace(open(file), end_, first, here_.line);
    bool begins = true;
    while (const auto piece = documents.next()) {
      if (ahead && begins) val = next_is_val(*ahead);
      append(documents.file(), *piece, val ? batch_.val : batch_.train);
      begins = piece->ends;
      const bool at_end = documents.position() == documents.file().size();
      here_ = at_end ? InputPosition{here_.file + 1}
                     : InputPosition{here_.file, documents.position() * item, documents.document()};
      const bool resumable = !ahead || piece->ends;
      const int64_t tokens = batch_.train.counts.tokens + batch_.val.counts.tokens;
      if (at_end || tokens >= (resumable ? kBatchTokens : kMaxBatchTokens))
        if (!deliver(resumable)) return false;
    }
    return true;
  }

  // Reads the next document and returns whether it belongs to validation.
  bool next_is_val(TokenDocuments& ahead) {
    uint64_t hash = hash_bytes("");
    while (const auto piece = ahead.next()) {
      auto ids = piece->ids;
      if (piece->ends && end_ && ids.back() == *end_) ids = ids.first(ids.size() - 1);
      hash = hash_bytes({reinterpret_cast<const char*>(ids.data()), ids.size_bytes()}, hash);
      if (piece->ends) break;
    }
    const double position = split_position_of(hash);
    batch_.lowest_position = std::min(batch_.lowest_position, position);
    return position < options_.val_fraction;
  }

  void append(const TokenFile& file, const TokenPiece& piece, EncodedPart& part) {
    const ShardFormat& format = shard_format_for(file_options_.vocab_size);
    if (options_.tokenizer) part.counts.bytes += text_bytes(file, piece);
    store_tokens(piece.ids, format, part.stored);
    part.counts.tokens += std::ssize(piece.ids);
    if (!piece.ends) return;
    part.counts.documents += documents_known_;
    if (!end_ || piece.ids.back() == *end_) return;
    store_tokens({&*end_, 1}, format, part.stored);
    ++part.counts.tokens;
  }

  int64_t text_bytes(const TokenFile& file, const TokenPiece& piece) const {
    int64_t sum = 0;
    for (size_t i = 0; i < piece.ids.size(); ++i) {
      const int32_t bytes = text_bytes_[static_cast<size_t>(piece.ids[i])];
      if (bytes == kNoToken)
        user_error(file.path().string(), ": byte ", file.byte_of(piece.first + static_cast<int64_t>(i)), ": id ",
                   piece.ids[i], " is unknown to this tokenizer; give the tokenizer that wrote the file");
      if (piece.ids[i] != end_) sum += bytes;
    }
    return sum;
  }

  bool deliver(bool resumable) {
    batch_.end = here_;
    job_->add(std::exchange(batch_, {}), resumable);
    if (progress_) {
      const bool all_read = here_.file == std::ssize(paths_);
      const int64_t read = all_read ? bytes_total_ : starts_[static_cast<size_t>(here_.file)] + here_.byte;
      progress_({job_->summary(), read, bytes_total_});
    }
    return !(resumable && options_.stop && options_.stop());
  }

  static constexpr int64_t kBatchTokens = int64_t{1} << 19;
  static constexpr int64_t kMaxBatchTokens = 8 * kBatchTokens;  // limit inside a document whose hash decides its split

  const ImportOptions& options_;
  TokenFileOptions file_options_;
  std::optional<int32_t> end_;
  const std::function<void(const ImportProgress&)>& progress_;
  std::vector<std::string> paths_;
  int64_t train_files_ = 0;        // paths_ from here on go to validation
  std::vector<InputFile> inputs_;  // paths_, then Megatron's indexes
  std::vector<int64_t> starts_;    // bytes of ids before each file
  int64_t bytes_total_ = 0;
  bool documents_known_ = true;
  static constexpr int32_t kNoToken = -1;
  std::vector<int32_t> text_bytes_;  // of each id; special tokens are not text

  ShardJob* job_ = nullptr;
  InputPosition here_;  // byte: an offset into the ids, after any header; line: the document's number
  EncodedBatch batch_;
};

}  // namespace

JobSummary import_tokens(const ImportOptions& options, const std::function<void(const ImportProgress&)>& progress) {
  return Importer(options, progress).run();
}

}  // namespace gptmoe
