#include "corpus/documents.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/progress.h"
#include "base/rng.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/text_cuts.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

constexpr size_t kSmallestRead = 4096;
constexpr size_t kChunk = size_t{1} << 20;

std::string label_of(const InputFile& file) { return file.path == kStandardInput ? "standard input" : file.path; }

std::unique_ptr<ByteSource> open_source(const InputFile& file) {
  if (file.path == kStandardInput) return open_standard_input();
  return open_byte_source(file.path, text_format(file.path)->compression);
}

// One past the last newline of text[from..], or 0.
size_t after_last_newline(std::string_view text, size_t from) {
  const void* found = memrchr(text.data() + from, '\n', text.size() - from);
  return found ? static_cast<size_t>(static_cast<const char*>(found) - text.data()) + 1 : 0;
}

// The start of the first line of more than `limit` bytes, not counting its line break.
std::optional<size_t> find_long_line(std::string_view lines, size_t limit) {
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    if (end - begin > limit) return begin;
    begin = end + 1;
  }
  return std::nullopt;
}

// Whether the code point before text[at], at > 0, is a letter or a number, and stays one in NFC: some letters of Indic
// scripts become a letter and a mark.
bool word_ends(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while (begin > 0 && at - begin < 4 && (text[begin] & 0xC0) == 0x80) --begin;
  const CodePoint last = read_code_point(text.substr(0, at), begin);
  if (last.value == kMalformed || begin + static_cast<size_t>(last.bytes) != at) return false;
  if (!is_surely_nfc(text.substr(begin, at - begin))) return false;
  const CharClass kind = char_class(last.value);
  return kind == CharClass::letter || kind == CharClass::number;
}

// The last position in text[from..) where a piece may end, or 0 if there is none. Before it is a letter or a number,
// and begins_cut() (tokenizer/text_cuts.h) holds for the text after it.
//
// Every split pattern has a word border at such a position and splits the two sides independently. In no pattern does a
// word continue from a letter or a number to a character that begins_cut() accepts. No pattern looks behind a word's
// start. Only the patterns' white-space alternatives use lookahead, and the text before the cut does not end in white
// space. NFC can be applied to the two sides separately, because all characters that begins_cut() accepts are starters
// (class 0) that have no canonical decomposition and compose with nothing.
size_t last_cut(std::string_view text, size_t from) {
  for (size_t at = text.size(); at-- > std::max<size_t>(from, 1);)
    if (begins_cut(text.substr(at)) && word_ends(text, at)) return at;
  return 0;
}

bool is_json_lines(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

}  // namespace

// A file being read, with the text that is read but not yet in a batch.
struct DocumentReader::OpenFile {
  std::string label;
  std::unique_ptr<ByteSource> source;
  int64_t bytes_expected = 0;  // of a plain file; the formats of compressed ones show whether they are whole
  bool json_lines = false;
  std::string ahead;
  bool ended = false;  // no text follows `ahead`
  std::string fault;   // why it ended early, if it did
  std::optional<uint64_t> document_hash;

  // Reads until `ahead` holds `target` bytes or the file ends.
  void fill(size_t target) {
    size_t size = ahead.size();
    if (ended || size >= target) return;
    ahead.reserve(target + kTextPadding);
    ahead.resize(target);
    try {
      while (size < target && !ended) {
        const size_t n = source->read(ahead.data() + size, target - size);
        size += n;
        ended = n == 0;
      }
      if (ended && source->consumed() < bytes_expected)
        fault = text(label, ": byte ", source->consumed(), ": the file ends here, but it had ", bytes_expected,
                     " bytes when the job began; restore it, and do not change it while it is read");
    } catch (const UserError& error) {
      ended = true;
      fault = error.what();
    }
    ahead.resize(size);
  }

  // Moves out the first `bytes` of `ahead`; only the rest, usually short, is copied.
  std::string take(size_t bytes) {
    std::string rest(ahead, bytes);
    ahead.resize(bytes);
    ahead.reserve(bytes + kTextPadding);
    return std::exchange(ahead, std::move(rest));
  }

  // Drops the line at the start of `ahead`, whatever its length. Returns the number of bytes dropped, including the
  // line break.
  int64_t drop_line() {
    int64_t dropped = 0;
    while (true) {
      const size_t newline = ahead.find('\n');
      const size_t bytes = newline == std::string::npos ? ahead.size() : newline + 1;
      dropped += static_cast<int64_t>(bytes);
      ahead.erase(0, bytes);
      if (newline != std::string::npos || ended) return dropped;
      fill(kChunk);
    }
  }
};

DocumentReader::DocumentReader(TextInput input, int64_t batch_bytes)
    : input_(std::move(input)), batch_bytes_(batch_bytes) {
  GPTMOE_CHECK(batch_bytes >= 1 && input_.max_line_bytes >= 1);
  list_files(input_.paths, "--input");
  train_files_ = std::ssize(files_);
  list_files(input_.val_paths, "--val");
  std::set<std::optional<FileId>> train;
  for (int64_t i = 0; i < std::ssize(files_); ++i) {
    const InputFile& file = files_[static_cast<size_t>(i)];
    const auto id = file.path == kStandardInput ? FileId{} : file_id(file.path);
    if (i < train_files_)
      train.insert(id);
    else if (train.contains(id))
      user_error(file.path, ": named by --input and by --val; name it once");
    bytes_total_ += file.bytes;
  }
}

void DocumentReader::list_files(const std::vector<std::string>& paths, const char* option) {
  InputListing listing = list_input_files(paths, input_.skip_errors, option);
  files_.insert(files_.end(), listing.files.begin(), listing.files.end());
  unread_ += listing.unread;
  hidden_ += listing.hidden;
  listing_errors_.insert(listing_errors_.end(), listing.errors.begin(), listing.errors.end());
}

DocumentReader::~DocumentReader() = default;

void DocumentReader::hash_long_documents() { hash_long_documents_ = true; }

void DocumentReader::seek(const InputPosition& position) {
  GPTMOE_CHECK(position.file >= 0 && position.file <= std::ssize(files_) && position.byte >= 0);
  for (const InputFile& file : files_)
    if (file.path == kStandardInput) user_error("standard input cannot be read from its middle; write it to a file");
  open_.reset();
  failure_.clear();
  if (position.file > 0 || position.byte > 0) listing_errors_.clear();
  position_ = position;
  bytes_closed_ = 0;
  for (int64_t i = 0; i < position.file; ++i) bytes_closed_ += files_[static_cast<size_t>(i)].bytes;
  bytes_read_ = bytes_closed_;
}

std::optional<TextBatch> DocumentReader::next() {
  if (!failure_.empty()) throw UserError(failure_);
  while (position_.file < std::ssize(files_)) {
    TextBatch batch;
    batch.begin = position_;
    batch.path = label_of(files_[static_cast<size_t>(position_.file)]);
    batch.validation = position_.file >= train_files_;
    if (!open_) open_file(batch);
    if (open_) {
      batch.json_lines = open_->json_lines;
      open_->json_lines ? read_lines(batch) : read_text(batch);
      bytes_read_ = bytes_closed_ + open_->source->consumed();
      if (open_->ended && open_->ahead.empty() && open_->fault.empty()) close_file();
    }
    batch.end = position_;
    // Errors of the listing are reported with the first batch, so that a resumed reader does not report them again.
    const bool last = position_.file == std::ssize(files_);
    if (!batch.bytes.empty() || !batch.errors.empty() || last)
      for (std::string& error : std::exchange(listing_errors_, {})) batch.errors.push_back(std::move(error));
    if (!batch.bytes.empty() || !batch.errors.empty()) return batch;
  }
  return std::nullopt;
}

// Opens the file at position_; on an error, reports it and moves to the next file.
void DocumentReader::open_file(TextBatch& batch) try {
  const InputFile& file = files_[static_cast<size_t>(position_.file)];
  auto opened = std::make_unique<OpenFile>();
  opened->label = label_of(file);
  opened->source = open_source(file);
  if (position_.byte > 0 && !opened->source->skip(position_.byte))
    user_error(opened->label, ": ends before byte ", position_.byte, ", where reading stopped; the file has changed");
  open_ = std::move(opened);
  if (file.path == kStandardInput) {
    open_->fill(first_target());
    open_->json_lines = is_json_lines(open_->ahead);
  } else {
    const TextFormat format = *text_format(file.path);
    open_->json_lines = format.json_lines;
    if (format.compression == Compression::none) open_->bytes_expected = file.bytes;
  }
  if (position_.byte > 0) return;
  open_->fill(2);
  if (open_->ahead.starts_with("\xFF\xFE") || open_->ahead.starts_with("\xFE\xFF"))
    user_error(open_->label, ": byte 0: the byte order mark of UTF-16, which is not read; convert the file with ",
               "iconv -f UTF-16 -t UTF-8");
} catch (const UserError& error) {
  close_file();
  complain(batch, error.what());
}

void DocumentReader::close_file() {
  const InputFile& file = files_[static_cast<size_t>(position_.file)];
  bytes_closed_ += file.path == kStandardInput && open_ ? open_->source->consumed() : file.bytes;
  bytes_read_ = bytes_closed_;
  open_.reset();
  position_ = {position_.file + 1, 0, 0};
}

void DocumentReader::complain(TextBatch& batch, const std::string& message) {
  if (input_.skip_errors) return batch.errors.push_back(message);
  failure_ = message;
  if (batch.bytes.empty()) throw UserError(failure_);
}

// How much to read at first: a batch; if the file is smaller, all of it and one more byte, which detects its end.
size_t DocumentReader::first_target() const {
  const InputFile& file = files_[static_cast<size_t>(position_.file)];
  const auto format = text_format(file.path);
  if (!format || format->compression != Compression::none) return static_cast<size_t>(batch_bytes_);
  const auto left = static_cast<size_t>(std::max<int64_t>(file.bytes - position_.byte, 0)) + 1;
  return std::min(static_cast<size_t>(batch_bytes_), std::max(left, kSmallestRead));
}

// Reads until find(text, from) finds a position in text[from..) where the batch may end. Returns the position, or 0 if
// the file ends or the text exceeds max_line_bytes before there is one.
size_t DocumentReader::read_until(size_t (*find)(std::string_view text, size_t from)) {
  const auto limit = static_cast<size_t>(input_.max_line_bytes);
  size_t found = 0, searched = 0;
  for (size_t target = first_target(); found == 0; target = std::min(2 * target, limit + 1)) {
    open_->fill(target);
    found = find(open_->ahead, searched);
    if (open_->ended || open_->ahead.size() > limit) break;
    // `ahead` may end inside a 3-byte punctuation mark.
    searched = open_->ahead.size() - std::min(open_->ahead.size(), kCutBytes - 1);
  }
  return found;
}

// Takes whole lines, and then possibly one line that is skipped.
void DocumentReader::read_lines(TextBatch& batch) {
  OpenFile& file = *open_;
  const auto limit = static_cast<size_t>(input_.max_line_bytes);
  size_t whole = read_until(after_last_newline);
  if (file.ended && file.fault.empty()) whole = file.ahead.size();
  std::optional<size_t> long_line;
  if (whole > limit) long_line = find_long_line(std::string_view(file.ahead).substr(0, whole), limit);
  if (whole == 0 && !file.ended) long_line = 0;
  if (long_line) whole = *long_line;

  batch.bytes = file.take(whole);
  position_.byte += static_cast<int64_t>(whole);
  position_.line += std::count(batch.bytes.begin(), batch.bytes.end(), '\n');
  if (long_line) {
    ++position_.line;
    complain(batch, text(file.label, ": line ", position_.line, ": longer than ", plural(input_.max_line_bytes, "byte"),
                         "; raise --max-line-mib, or split the document"));
    if (input_.skip_errors) position_.byte += file.drop_line();
  } else if (!file.fault.empty()) {
    complain(batch, std::exchange(file.fault, ""));
    file.ahead.clear();
  }
}

void DocumentReader::read_text(TextBatch& batch) {
  OpenFile& file = *open_;
  const auto limit = static_cast<size_t>(input_.max_line_bytes);
  const size_t cut = read_until(last_cut);
  batch.begins_document = position_.byte == 0;
  const std::string_view piece =
      std::string_view(file.ahead).substr(0, file.ended || cut == 0 ? std::string::npos : cut);
  if (const size_t bad = find_unknown_byte(piece); bad < piece.size()) {
    file.fault = text(file.label, ": byte ", position_.byte + static_cast<int64_t>(bad), ": ",
                      no_token_for(static_cast<unsigned char>(piece[bad])));
    file.ahead.resize(bad);
    file.ended = true;
  }
  if (!file.ended && cut == 0) {
    complain(batch, text(file.label, ": byte ", position_.byte,
                         ": no letter followed by a space, a newline, \u3002 or \uFF0C within ",
                         plural(input_.max_line_bytes, "byte"),
                         ", so the text cannot be split into pieces; raise --max-line-mib"));
    file.ahead.resize(limit);
    file.ended = true;
  }
  if (!file.fault.empty()) complain(batch, std::exchange(file.fault, ""));
  batch.ends_document = file.ended;
  if (hash_long_documents_ && !(batch.begins_document && batch.ends_document)) {
    if (!file.document_hash) file.document_hash = hash_text();
    batch.document_hash = file.document_hash;
  }
  batch.bytes = file.take(file.ended ? file.ahead.size() : cut);
  position_.byte += std::ssize(batch.bytes);
}

// The position of the first byte that has no token; the text's size if there is none.
size_t DocumentReader::find_unknown_byte(std::string_view text) const {
  if (allowed_bytes_.all()) return text.size();
  const auto known = [&](char byte) { return allowed_bytes_[static_cast<unsigned char>(byte)]; };
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), known) - text.begin());
}

// The hash of the whole text without a byte order mark; with skip_errors, of the text before any damage.
uint64_t DocumentReader::hash_text() const {
  const InputFile& input = files_[static_cast<size_t>(position_.file)];
  if (input.path == kStandardInput)
    user_error("standard input: a document of more than ", plural(batch_bytes_, "byte"),
               " has to be read twice; write it to a file");
  const auto source = open_source(input);
  std::string chunk(kChunk, '\0');
  uint64_t hash = hash_bytes({});
  bool begins = true;
  try {
    while (const size_t n = source->read(chunk.data(), chunk.size())) {
      std::string_view bytes = std::string_view(chunk).substr(0, n);
      if (std::exchange(begins, false) && bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
      const size_t good = find_unknown_byte(bytes);
      hash = hash_bytes(bytes.substr(0, good), hash);
      if (good < bytes.size()) break;
    }
  } catch (const UserError&) {
    if (!input_.skip_errors) throw;
  }
  return hash;
}

}  // namespace gptmoe
