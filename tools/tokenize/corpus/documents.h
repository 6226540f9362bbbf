#pragma once
// Text inputs as a sequence of documents:
//   *.txt    one document, the bytes as they are, whatever its line endings
//   *.jsonl *.ndjson *.json  one document per line: the string in one field of a JSON object; blank lines are skipped
//   *.txt.gz *.jsonl.zst ...  the same, compressed (several members or frames in a row are one text)
//   folder   every such file below it, sorted by path; see list_input_files() for the other files
//   a*.txt   shell pattern: all files and folders that it matches, sorted by path
//   -        standard input, plain or compressed: JSON lines if its first byte that is not white space is "{", else one
//            document
// Empty documents are skipped. A DocumentReader cuts the files into batches, in order; DocumentParsers, one per thread,
// turn batches into documents. A long .txt comes in several pieces, so that memory does not grow with the size of a
// file. A byte order mark at the start of a file is not part of its text.
#include <atomic>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/input_files.h"

namespace gptmoe {

struct TextInput {
  std::vector<std::string> paths = {};         // files, folders, patterns, "-"
  std::vector<std::string> val_paths = {};     // the same, for validation; read after `paths`
  std::string field = "text";                  // of .jsonl
  int64_t max_line_bytes = int64_t{16} << 20;  // of a .jsonl line, or of a part of .txt that cannot be cut
  bool skip_errors = false;                    // count damaged lines and files and continue, rather than throw
};

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Capacity that a batch keeps after its bytes, so that the JSON parser may read past a line's end without a copy.
constexpr size_t kTextPadding = 64;

// The position of a reader between two batches.
struct InputPosition {
  int64_t file = 0;  // index in DocumentReader::files()
  int64_t byte = 0;  // of its text, decompressed
  int64_t line = 0;  // complete lines before `byte` (.jsonl)
};

// A part of one input file: whole lines of a .jsonl, or a piece of a .txt. Text skipped because of errors comes after
// `bytes` and before `end`; a batch may hold nothing but errors.
struct TextBatch {
  std::string bytes;  // with kTextPadding of spare capacity
  std::string path;   // for messages
  bool json_lines = false;
  bool validation = false;  // from one of val_paths
  InputPosition begin, end;
  bool begins_document = true, ends_document = true;  // of a .txt
  std::optional<uint64_t> document_hash;              // if requested: the hash of a whole .txt that has several pieces
  std::vector<std::string> errors;  // of text skipped after `bytes`: one line each, naming file and line or byte
};

class DocumentReader {
 public:
  // Finds the files without reading them. Throws UserError if an input does not exist, is of another kind, is a folder
  // or pattern without text, or is both among the paths and among the val_paths. Batches hold about `batch_bytes`, or
  // more if a single line is longer: lines are never cut.
  explicit DocumentReader(TextInput input, int64_t batch_bytes = int64_t{1} << 20);
  ~DocumentReader();

  // From now on a .txt that comes in pieces has its document_hash, for which it is read twice. Standard input longer
  // than a piece is then a UserError.
  void hash_long_documents();

  // From now on a byte of a .txt that is not in `known` is damage (next()): the tokenizer has no token for it.
  void allow_bytes(const std::bitset<256>& known) { allowed_bytes_ = known; }

  // Continues where an earlier reader of the same input stopped; in a compressed file, everything before that position
  // is decompressed again and discarded. Throws UserError for standard input, and for a file that has become shorter.
  void seek(const InputPosition& position);

  // The next batch; nullopt at the end. Batches are never cut inside a word of any SplitPattern: a piece of .txt ends
  // after a letter or a number, before text for which begins_cut() holds. Throws UserError, naming the file and the
  // line or byte, if the file is unreadable, if it was truncated while being read, if its compressed data is damaged,
  // or if a line is longer than max_line_bytes. The good text before the fault is returned first. With skip_errors the
  // batch carries the message instead. The reader then continues with the next line or, if it cannot find the end of
  // the damage, with the next file. When it moves on to the next file, it keeps the lines of a .jsonl, or the bytes of
  // a .txt, that come before the damage.
  std::optional<TextBatch> next();

  const TextInput& input() const { return input_; }
  const std::vector<InputFile>& files() const { return files_; }
  int64_t train_files() const { return train_files_; }         // the first of files(); the others are from val_paths
  const UnreadFiles& files_unread() const { return unread_; }  // InputListing::unread
  int64_t files_hidden() const { return hidden_; }             // InputListing::hidden
  // Progress, which any thread may ask for: the bytes read from disk so far, and the size of all files together.
  int64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
  int64_t bytes_total() const { return bytes_total_; }

 private:
  struct OpenFile;
  void list_files(const std::vector<std::string>& paths, const char* option);
  void open_file(TextBatch& batch);
  void close_file();
  size_t read_until(size_t (*find)(std::string_view text, size_t from));
  void read_lines(TextBatch& batch);
  void read_text(TextBatch& batch);
  size_t find_unknown_byte(std::string_view text) const;
  uint64_t hash_text() const;
  size_t first_target() const;
  void complain(TextBatch& batch, const std::string& message);

  TextInput input_;
  int64_t batch_bytes_;
  std::vector<InputFile> files_;
  int64_t train_files_ = 0;
  UnreadFiles unread_;
  int64_t bytes_total_ = 0, hidden_ = 0;
  std::vector<std::string> listing_errors_;  // not reported yet
  bool hash_long_documents_ = false;
  std::bitset<256> allowed_bytes_ = ~std::bitset<256>();

  InputPosition position_;          // of the next batch
  std::unique_ptr<OpenFile> open_;  // files_[position_.file], from its first batch to its last
  std::string failure_;             // the next call of next() throws it; the text before it has been returned
  int64_t bytes_closed_ = 0;        // of files before open_
  std::atomic<int64_t> bytes_read_ = 0;
};

// A document, or a piece of a long one.
struct DocumentPiece {
  std::string_view text;  // never empty; valid during the visit
  bool begins, ends;
  std::optional<uint64_t> hash;  // of the whole document, if known; if not, the piece is the whole document
};

// One per thread. While it parses a line, takes up to 14 times the size of that line in memory; keeps at most 9 MiB
// from line to line.
class DocumentParser {
 public:
  explicit DocumentParser(const TextInput& input);
  ~DocumentParser();

  // Calls visit for every document of the batch, in order. If a field occurs twice in a line, the last one counts.
  // Throws UserError, naming the file, the line and the remedy, for a line that is not JSON, lacks the field, has a
  // field that is not a string, or is not valid UTF-8. With skip_errors such lines are appended to `errors` as
  // messages.
  void parse(const TextBatch& batch, const std::function<void(const DocumentPiece&)>& visit,
             std::vector<std::string>& errors);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gptmoe
