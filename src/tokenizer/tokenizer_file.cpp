#include "tokenizer/tokenizer_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/folder.h"
#include "tokenizer/gpt2_files.h"
#include "tokenizer/json_source.h"
#include "tokenizer/rank_file.h"
#include "tokenizer/tokenizer_json.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLayouts =
    "give a tokenizer.json, GPT-2's vocab.json and merges.txt, tiktoken's rank file (.tiktoken, .model) or a "
    "folder with one of these";

constexpr const char* kRemedy = "make it readable or name another tokenizer";

bool is_rank_file(const fs::path& path) { return path.extension() == ".tiktoken" || path.extension() == ".model"; }

[[noreturn]] void cannot_open(const fs::path& path, const std::string& why) {
  user_error(path.string(), ": cannot open: ", why, "; ", kRemedy);
}

bool is_there(const fs::path& path) {
  return with_remedy(kRemedy, [&] { return anything_at(path); });
}

// The file that identifies the layout of a folder; nullopt if the folder holds no tokenizer.
std::optional<fs::path> find_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt"})
    if (is_there(folder / name)) return folder / name;
  std::vector<fs::path> rank_files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_rank_file(entry->path()) && !entry->path().filename().string().starts_with('.'))
      rank_files.push_back(entry->path());
  if (error) cannot_open(folder, error.message());
  std::sort(rank_files.begin(), rank_files.end());
  if (rank_files.empty()) return std::nullopt;
  if (rank_files.size() > 1)
    user_error(folder.string(), ": holds ", rank_files[0].filename().string(), " and ",
               rank_files[1].filename().string(), "; name one of them");
  return rank_files[0];
}

// SentencePiece writes a protobuf message. It starts with field 1, the first token, whose length and score contain
// bytes that no rank file has.
void refuse_sentencepiece(const fs::path& path) {
  const FileReader file(path);
  std::string start(static_cast<size_t>(std::min<int64_t>(file.size(), 32)), '\0');
  file.read(start.data(), std::ssize(start), 0);
  const auto in_no_text = [](char byte) { return byte >= 0 && byte < ' ' && byte != '\r' && byte != '\n'; };
  if (start.starts_with('\n') && std::ranges::any_of(start, in_no_text))
    throw UnsupportedTokenizer(
        text(path.string(),
             ": a SentencePiece model, which is not supported; use a tokenizer of byte-level BPE: ", kLayouts));
}

bool is_of_pair(const fs::path& path) { return path.filename() == "vocab.json" || path.filename() == "merges.txt"; }

// vocab.json and merges.txt beside `path`.
std::array<fs::path, 2> pair_of(const fs::path& path) {
  std::array<fs::path, 2> pair = {path.parent_path() / "vocab.json", path.parent_path() / "merges.txt"};
  for (const fs::path& file : pair)
    if (!is_there(file))
      user_error(file.string(), ": missing; GPT-2's tokenizer needs vocab.json and merges.txt in one folder");
  return pair;
}

[[noreturn]] void refuse_kind(const fs::path& path) { user_error(path.string(), ": unknown kind of file; ", kLayouts); }

Vocabulary read_vocabulary(const fs::path& path, const std::optional<SplitPattern>& pattern) {
  if (is_rank_file(path)) {
    refuse_sentencepiece(path);
    if (!pattern)
      throw UnsupportedTokenizer(text(path.string(),
                                      ": a rank file does not say how text is split into words; give --pattern ",
                                      split_pattern_names()));
    return read_rank_file(path, *pattern);
  }
  if (pattern)
    user_error(path.string(), ": --pattern ", name_of(*pattern),
               " is for rank files only; this file has its own pattern");
  if (is_of_pair(path)) {
    const auto [vocab, merges] = pair_of(path);
    return read_gpt2_files(vocab, merges);
  }
  if (path.extension() == ".json") return read_tokenizer_json(path);
  refuse_kind(path);
}

class EndOfText {
 public:
  EndOfText(const fs::path& path, Vocabulary& vocabulary) : path_(path), vocabulary_(vocabulary) {}

  // Chooses the token that ends documents. Makes it special, whatever the file says: no document may contain its own
  // end.
  void choose(const std::string& wanted) {
    std::optional<int32_t> id = find(wanted);
    if (wanted.empty())
      for (const std::string_view name : kEndOfTextNames)
        if (!id) id = find(name);
    if (!wanted.empty() && !id) user_error(path_.string(), ": no token ", in_quotes(wanted), " ", candidates());
    vocabulary_.end_of_text = id;
    if (!id) return;
    const auto of_text = [&](const Merge& merge) { return merge.result == *id; };
    if (tokens()[static_cast<size_t>(*id)].size() == 1 || std::ranges::any_of(vocabulary_.merges, of_text))
      user_error(path_.string(), ": ", in_quotes(tokens()[static_cast<size_t>(*id)]),
                 " cannot end documents: it is ordinary text ", candidates());
    const auto added = std::ranges::find(vocabulary_.added, *id, &AddedToken::id);
    if (added == vocabulary_.added.end())
      vocabulary_.added.push_back({*id, true});
    else
      added->special = true;
  }

 private:
  const std::vector<std::string>& tokens() const { return vocabulary_.tokens; }

  // Added tokens are searched first: an ordinary token may have the same bytes.
  std::optional<int32_t> find(std::string_view name) const {
    if (name.empty()) return std::nullopt;
    for (const AddedToken& token : vocabulary_.added)
      if (tokens()[static_cast<size_t>(token.id)] == name) return token.id;
    const auto found = std::ranges::find(tokens(), name);
    if (found == tokens().end()) return std::nullopt;
    return static_cast<int32_t>(found - tokens().begin());
  }

  std::string candidates() const {
    constexpr int kShown = 8;
    std::string list;
    int shown = 0;
    for (const AddedToken& token : vocabulary_.added)
      if (token.special && ++shown <= kShown)
        list += (shown == 1 ? "" : ", ") + in_quotes(tokens()[static_cast<size_t>(token.id)]);
    if (shown == 0) return "(this tokenizer has no special tokens)";
    return "(its special tokens are " + list + (shown > kShown ? ", ...)" : ")");
  }

  const fs::path& path_;
  Vocabulary& vocabulary_;
};

}  // namespace

Tokenizer load_tokenizer(const fs::path& path, const TokenizerOptions& options) {
  if (!is_there(path)) user_error(path.string(), ": no such file or folder; ", kLayouts);
  const std::optional<fs::path> found = fs::is_directory(path) ? find_in(path) : path;
  if (!found) user_error(path.string(), ": no tokenizer in this folder; ", kLayouts);
  const fs::path& file = *found;
  if (access(file.c_str(), R_OK) != 0) cannot_open(file, std::strerror(errno));
  Vocabulary vocabulary = read_vocabulary(file, options.pattern);
  EndOfText(file, vocabulary).choose(options.end_of_text);
  return Tokenizer(std::move(vocabulary));
}

std::vector<fs::path> tokenizer_files(const fs::path& path) {
  if (!is_there(path)) return {};
  const std::optional<fs::path> file = fs::is_directory(path) ? find_in(path) : path;
  if (!file) return {};
  if (is_of_pair(*file)) {
    const auto [vocab, merges] = pair_of(*file);
    std::vector<fs::path> files = {vocab, merges};
    if (const fs::path config = vocab.parent_path() / "tokenizer_config.json"; is_there(config))
      files.push_back(config);
    return files;
  }
  if (!is_rank_file(*file) && file->extension() != ".json") refuse_kind(*file);
  return {*file};
}

}  // namespace gptmoe
