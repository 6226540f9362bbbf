// The readers of texts, token ids and tokenizers.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "corpus/documents.h"
#include "corpus/token_documents.h"
#include "data/shard_file.h"
#include "fuzz/input.h"
#include "fuzz/targets.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe::fuzz {
namespace {

void check_tokenizer(const Tokenizer& tokenizer) {
  const std::string text = "The river's 1234 mills;\r\n\n  na\xC3\xAFve \xF0\x9F\x98\x80 \xFF <|endoftext|> aaaaaaaa";
  const auto ids = tokenizer.encode(text);
  for (int32_t id : ids) GPTMOE_CHECK(tokenizer.knows(id));
  const std::string back = tokenizer.decode(ids);
  GPTMOE_CHECK(tokenizer.vocabulary().nfc || back == text);
}

// Reads all documents, or those before the reader throws a UserError.
std::vector<std::string> read_documents(const TextInput& input, int64_t batch_bytes) {
  std::vector<std::string> documents;
  bool open = false;
  const auto visit = [&](const DocumentPiece& piece) {
    GPTMOE_CHECK(!piece.text.empty() && piece.begins == !open);
    if (piece.begins) documents.emplace_back();
    documents.back() += piece.text;
    open = !piece.ends;
  };
  allow_refusal([&] {
    DocumentReader reader(input, batch_bytes);
    DocumentParser parser(reader.input());
    std::vector<std::string> errors;
    while (const auto batch = reader.next()) parser.parse(*batch, visit, errors);
  });
  return documents;
}

// Reads a file of token ids, document by document.
void read_all(const std::filesystem::path& path) {
  allow_refusal([&] {
    TokenDocuments documents(TokenFile(path, {.vocab_size = 1000}), 7);
    int64_t ids = 0;
    while (const auto piece = documents.next()) ids += std::ssize(piece->ids);
    GPTMOE_CHECK(ids == documents.file().size());
  });
}

}  // namespace

void tokenizer_json(std::string_view bytes) {
  static const InputPath file("tokenizer.json");
  allow_refusal([&] {
    const Tokenizer tokenizer = load_tokenizer(file.with(bytes));
    check_tokenizer(tokenizer);
  });
}

void gpt2_files(std::string_view bytes) {
  static const InputPath vocab("vocab.json", "gpt2"), merges("merges.txt", "gpt2"),
      config("tokenizer_config.json", "gpt2");
  const auto [content, rest] = split_at_nul(bytes);
  const auto [merge_lines, options] = split_at_nul(rest);
  merges.with(merge_lines);
  if (options.empty())
    std::filesystem::remove(config.folder() / "tokenizer_config.json");
  else
    config.with(options);
  allow_refusal([&, &content = content] { check_tokenizer(load_tokenizer(vocab.with(content))); });
}

void rank_file(std::string_view bytes) {
  static const InputPath file("ranks.tiktoken");
  for (const SplitPattern pattern : {SplitPattern::gpt2, SplitPattern::cl100k})
    allow_refusal([&] { check_tokenizer(load_tokenizer(file.with(bytes), {.pattern = pattern})); });
}

void shard(std::string_view bytes) {
  static const InputPath file("shard.bin");
  allow_refusal([&] {
    const Shard shard(file.with(bytes));
    std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
    shard.copy(0, shard.size(), tokens.data());
    for (int64_t i = 0; i < shard.size(); ++i)
      GPTMOE_CHECK(shard.token(i) == static_cast<uint32_t>(tokens[static_cast<size_t>(i)]));
  });
}

void npy(std::string_view bytes) {
  static const InputPath file("ids.npy");
  read_all(file.with(bytes));
}

void megatron_index(std::string_view bytes) {
  static const InputPath file("ids.idx"), data("ids.bin");
  std::string ids;
  for (char id = 0; id < 8; ++id) ids += {id, '\0'};
  file.with(bytes);
  read_all(data.with(ids));
}

void token_array(std::string_view bytes) {
  static const InputPath file("ids.bin", "array");
  read_all(file.with(bytes));
}

void jsonl(std::string_view bytes) {
  static const InputPath file("lines.jsonl");
  TextInput input{.paths = {file.with(bytes).string()}, .max_line_bytes = 300};
  for (const bool skip : {false, true}) {
    input.skip_errors = skip;
    GPTMOE_CHECK(read_documents(input, 1) == read_documents(input, 1 << 20), "documents depend on the batches");
  }
}

void plain_text(std::string_view bytes) {
  static const InputPath file("text.txt");
  const TextInput input{.paths = {file.with(bytes).string()}, .max_line_bytes = 300};
  GPTMOE_CHECK(read_documents(input, 64) == read_documents(input, 1 << 20), "the text depends on the batches");
}

// The first byte selects the compression; the rest is the file.
void compressed(std::string_view bytes) {
  static const InputPath gzip("lines.jsonl.gz"), zstd("text.txt.zst");
  if (bytes.empty()) return;
  const auto& file = bytes[0] % 2 ? zstd : gzip;
  TextInput input{.paths = {file.with(bytes.substr(1)).string()}, .max_line_bytes = 4096};
  for (const bool skip : {false, true}) {
    input.skip_errors = skip;
    read_documents(input, 64);
  }
}

}  // namespace gptmoe::fuzz
