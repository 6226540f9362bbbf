#pragma once
// A small tokenizer.json to change and load.

#include "base/json.h"
#include "support/error_line.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {

inline nlohmann::json split_by(std::string_view regex) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

struct TokenizerFileTest : testing::Test {
  TokenizerFileTest() {
    nlohmann::json vocab;
    for (int id = 0; id < 256; ++id)
      vocab[to_byte_names(std::string(1, static_cast<char>(alphabet_order()[static_cast<size_t>(id)])))] = id;
    vocab["he"] = 256;
    vocab["the"] = 257;
    const nlohmann::json end = {{"id", 258}, {"content", "<|endoftext|>"}, {"special", true}};
    file = {{"added_tokens", {end}},
            {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
            {"model", {{"vocab", vocab}, {"merges", {"h e", "t he"}}}}};
  }

  Tokenizer load(const std::string& end_of_text = "") {
    write_text_file(path, file.dump());
    return load_tokenizer(path, {.end_of_text = end_of_text});
  }
  // The error message without the file's name, which it must start with.
  std::string error(const std::string& end_of_text = "") {
    const std::string line = error_of([&] { load(end_of_text); }), name = path.string() + ": ";
    EXPECT_TRUE(line.starts_with(name)) << line;
    return line.substr(std::min(line.size(), name.size()));
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder / "tokenizer.json";
  nlohmann::json file;
};

}  // namespace gptmoe
