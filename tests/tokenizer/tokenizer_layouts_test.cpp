// Loads a tokenizer in every layout on disk and compares ids with the library that the layout comes from.
#include <map>
#include <set>

#include "base/json.h"
#include "base/rng.h"
#include "support/error_line.h"
#include "support/test_folders.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

using nlohmann::json;

const std::string kGoldenFolder = source_folder() + "/tests/tokenizer/golden/";

struct TokenizerLayoutsTest : testing::Test {
  void expect_ids(const Tokenizer& tokenizer, const json& expected, const std::string& what,
                  const char* texts = "texts") {
    ASSERT_EQ(expected.size(), golden[texts].size());
    WordCache cache;
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::string text = golden[texts][i];
      std::vector<int32_t> ids;
      tokenizer.encode(text, cache, ids);
      EXPECT_EQ(ids, expected[i].get<std::vector<int32_t>>()) << what << ": " << json(text);
    }
  }

  // Assembles the tokenizer.json of a layout, as Hugging Face wrote it.
  json file_of(const json& layout) {
    json file = layout["parts"];
    file["model"] = golden["model"];
    file["model"].update(layout["model_options"]);
    return file;
  }

  // The file of a well-known model, with the shared vocabulary in place of its own.
  json published_file(const json& layout) {
    json file = layout["parts"];
    file["model"] = layout["model_options"];
    std::map<int, std::string> shared;
    for (const auto& [name, id] : golden["model"]["vocab"].items()) shared[id] = name;
    int id = 0;
    for (const json& name : layout["first"]) file["model"]["vocab"][name] = id++;
    for (const auto& [_, name] : shared) {
      const std::string byte = *from_byte_names(name);
      if (layout["only_utf8"] && byte.size() == 1 && !may_be_utf8(static_cast<unsigned char>(byte[0]))) continue;
      file["model"]["vocab"][name] = id++;
    }
    for (const json& name : layout["last"]) file["model"]["vocab"][name] = id++;
    for (const json& merge : golden["model"]["merges"])
      file["model"]["merges"].push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    return file;
  }

  void write_pair() {
    std::string merges = "#version: 0.2\n";
    for (const json& merge : golden["model"]["merges"])
      merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
    write_text_file(folder / "vocab.json", golden["model"]["vocab"].dump());
    write_text_file(folder / "merges.txt", merges);
  }

  const json golden = json::parse(read_text_file(kGoldenFolder + "layouts.json"));
  TemporaryFolder folder;
};

TEST_F(TokenizerLayoutsTest, HuggingFace) {
  ASSERT_EQ(golden["layouts"].size(), 12u);
  for (const json& layout : golden["layouts"]) {
    write_text_file(folder / "tokenizer.json", file_of(layout).dump());
    const Tokenizer tokenizer = load_tokenizer(folder / "tokenizer.json");
    expect_ids(tokenizer, layout["ids"], layout["name"]);
    EXPECT_EQ(tokenizer.end_of_text(), 560) << layout["name"];
  }
}

TEST_F(TokenizerLayoutsTest, SavingKeepsTheIds) {
  for (const json& layout : golden["layouts"]) {
    const auto path = folder / "tokenizer.json";
    write_text_file(path, file_of(layout).dump());
    save_tokenizer(load_tokenizer(path), path);
    expect_ids(load_tokenizer(path), layout["ids"], layout["name"]);
  }
}

TEST_F(TokenizerLayoutsTest, PublishedFiles) {
  ASSERT_EQ(golden["published"].size(), 6u);
  for (const json& layout : golden["published"]) {
    const auto path = folder / "tokenizer.json";
    write_text_file(path, published_file(layout).dump());
    for (const char* how : {" as it is", " saved again"}) {
      const Tokenizer tokenizer = load_tokenizer(path);
      expect_ids(tokenizer, layout["ids"], layout["name"].get<std::string>() + how, "published_texts");
      EXPECT_EQ(tokenizer.end_of_text(), layout["end_of_text"].get<int>()) << layout["name"];
      EXPECT_EQ(tokenizer.known_bytes().count(), layout["only_utf8"] ? 243u : 256u) << layout["name"];
      save_tokenizer(tokenizer, path);
    }
  }
}

// The 13 bytes that a tokenizer may lack are never part of UTF-8.
TEST_F(TokenizerLayoutsTest, BytesWithoutATokenAreErrors) {
  const auto path = folder / "tokenizer.json";
  write_text_file(path, published_file(golden["published"][1]).dump());
  const Tokenizer tokenizer = load_tokenizer(path);
  EXPECT_EQ(error_of([&] { tokenizer.encode("abc\xF5"); }),
            "byte 3: F5 is never part of UTF-8, and this tokenizer has no token for it; convert the text to UTF-8");
  EXPECT_EQ(error_of([&] { tokenizer.encode("\xC0"); }).substr(0, 11), "byte 0: C0 ");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("x\x80\xED\xF4")), "x\x80\xED\xF4") << "bytes that have tokens stay";
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(tokenizer.known_bytes()[static_cast<size_t>(byte)], may_be_utf8(static_cast<unsigned char>(byte)));
}

TEST_F(TokenizerLayoutsTest, Gpt2Files) {
  write_pair();
  const json& expected = golden["layouts"][0];
  ASSERT_EQ(expected["name"], "gpt2");
  for (const char* name : {"", "vocab.json", "merges.txt"})
    expect_ids(load_tokenizer(folder / name), expected["ids"], name);
}

TEST_F(TokenizerLayoutsTest, RankFiles) {
  ASSERT_EQ(golden["rank_files"].size(), 4u);
  for (const json& item : golden["rank_files"]) {
    const Tokenizer tokenizer = load_tokenizer(kGoldenFolder + "ranks.tiktoken",
                                               {.pattern = split_pattern_of(item["pattern"].get<std::string>())});
    expect_ids(tokenizer, item["ids"], item["pattern"]);
    EXPECT_EQ(tokenizer.end_of_text(), 560);
    EXPECT_EQ(tokenizer.vocab_size(), 561);
  }
}

// In a folder, tokenizer.json is preferred to the vocab.json and merges.txt pair, and the pair to a rank file.
TEST_F(TokenizerLayoutsTest, Folders) {
  expect_contains(error_of([&] { load_tokenizer(folder.path()); }), folder.path().string() + ": no tokenizer in this");
  const std::string ranks = read_text_file(kGoldenFolder + "ranks.tiktoken");
  write_text_file(folder / "tokenizer.model", ranks);
  EXPECT_EQ(load_tokenizer(folder.path(), {.pattern = SplitPattern::llama3}).vocab_size(), 561);
  write_text_file(folder / "b.tiktoken", ranks);
  expect_contains(error_of([&] { load_tokenizer(folder.path()); }), "holds b.tiktoken and tokenizer.model; name one");
  write_pair();
  EXPECT_EQ(load_tokenizer(folder.path()).vocab_size(), 560);
  write_text_file(folder / "tokenizer.json", file_of(golden["layouts"][9]).dump());
  EXPECT_EQ(load_tokenizer(folder.path()).vocab_size(), 562);
}

struct RankFileTest : testing::Test {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  // The error for a file with the ranks of the 256 bytes followed by `rest`.
  std::string error(const std::string& rest, SplitPattern pattern = SplitPattern::gpt2) {
    write_text_file(path, bytes() + rest);
    const std::string line = error_of([&] { load_tokenizer(path, {.pattern = pattern}); }), name = path.string() + ": ";
    EXPECT_TRUE(line.starts_with(name)) << line;
    return line.substr(std::min(line.size(), name.size()));
  }

  static std::string bytes() {
    std::string lines;
    const std::string all = read_text_file(kGoldenFolder + "ranks.tiktoken");
    for (size_t i = 0, line = 0; line < 256; ++i) {
      lines += all[i];
      line += all[i] == '\n';
    }
    return lines;
  }

  static std::string to_base64(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); i += 3) {
      const auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
      const unsigned bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
      for (size_t digit = 0; digit < 4; ++digit)
        out += i + digit > text.size() ? '=' : kDigits[bits >> (18 - 6 * digit) & 63];
    }
    return out;
  }

  // Lines with ranks [256, end) except `but`, with made-up tokens of three bytes.
  static std::string filler(int end, int but = -1) {
    std::string lines;
    for (int rank = 256; rank < end; ++rank) {
      if (rank == but) continue;
      for (int shift : {18, 12, 6, 0}) lines += kDigits[static_cast<size_t>(rank >> shift & 63)];
      lines += " " + std::to_string(rank) + "\n";
    }
    return lines;
  }

  TemporaryFolder folder{memory_folder()};
  std::filesystem::path path = folder / "x.tiktoken";
};

TEST_F(RankFileTest, RefusesDamage) {
  EXPECT_EQ(error_of([&] { load_tokenizer(kGoldenFolder + "ranks.tiktoken"); }),
            kGoldenFolder +
                "ranks.tiktoken: a rank file does not say how text is split into words; give --pattern gpt2, llama3, "
                "cl100k or qwen2");
  const char* kLine = "line 257: expected a token in base64, a space and its rank (tiktoken's rank file), found ";
  expect_contains(error("dGhl\n"), std::string(kLine) + "\"dGhl\"");
  for (const char* line : {"dGhl ", "dGhl 256x", "dGhl  256", " 256", "dGh 256", "dG=l 256", "d=== 256", "==== 256",
                           "dGh\xC3 256", "dGhl 99999999999999999999", "dGhl 256 1", "\x80\x01"})
    expect_contains(error(line), kLine);
  expect_contains(error("dGhl -1"), "line 257: rank -1 is not between 0 and 4194302");
  expect_contains(error("dGhl 4194303"), "line 257: rank 4194303 is not");  // leaves no id for <|endoftext|>
  expect_contains(error("dGhl 255"), "line 257: rank 255 is given twice");
  expect_contains(error("dGhl 256\n\ndGhl 257\n"), "rank 257 has the bytes of an earlier rank");
  expect_contains(error(std::string(4000, 'A') + " 256"), "line 257: a token of 3000 bytes; at most 1024");
  write_text_file(path, "");
  expect_contains(error_of([&] { load_tokenizer(path, {.pattern = SplitPattern::gpt2}); }), "no token for byte 0;");
}

TEST_F(RankFileTest, RefusesSentencePieceByName) {
  using std::string_literals::operator""s;
  const auto model = folder / "tokenizer.model";
  for (const std::string& bytes : {"\n\x0E\n\x05<unk>\x15\0\0\0\0\x18\x02"s, "\n<\n:<unk>\x15\0\0\0\0\x18\x02"s}) {
    write_text_file(model, bytes);
    const std::string line = error_of([&] { load_tokenizer(model); });
    expect_contains(line, model.string() + ": a SentencePiece model, which is not supported; use a tokenizer of byte-");
  }
  write_text_file(path, "\n\r\n" + bytes());  // this is a rank file
  EXPECT_EQ(load_tokenizer(path, {.pattern = SplitPattern::gpt2}).vocab_size(), 257);
}

TEST_F(RankFileTest, WindowsLineEndsAndOrderDoNotMatter) {
  write_text_file(path, "dGhl 257\r\naGU= 256\r\n" + bytes());
  EXPECT_EQ(load_tokenizer(path, {.pattern = SplitPattern::gpt2}).encode("the he"),
            (std::vector<int32_t>{257, 220, 256}));
}

TEST_F(RankFileTest, KnowsTheSpecialTokensOfPublishedFiles) {
  const auto load = [&](const std::string& rest, SplitPattern pattern) {
    write_text_file(path, bytes() + rest);
    return load_tokenizer(path, {.pattern = pattern});
  };
  const auto text_of = [](const Tokenizer& tokenizer, int32_t id) {
    return tokenizer.decode(std::vector<int32_t>{id});
  };
  const Tokenizer cl100k = load(filler(100256), SplitPattern::cl100k);
  EXPECT_EQ(cl100k.end_of_text(), 100257);
  EXPECT_EQ(text_of(cl100k, 100276), "<|endofprompt|>");
  EXPECT_FALSE(cl100k.knows(100256));
  const Tokenizer llama3 = load(filler(128000), SplitPattern::llama3);
  EXPECT_EQ(llama3.end_of_text(), 128001);
  EXPECT_EQ(llama3.vocab_size(), 128256);
  EXPECT_EQ(text_of(llama3, 128005), "<|reserved_special_token_3|>");
  EXPECT_EQ(text_of(llama3, 128008), "<|reserved_special_token_4|>");
  EXPECT_EQ(text_of(llama3, 128009), "<|eot_id|>");
  EXPECT_EQ(text_of(llama3, 128255), "<|reserved_special_token_250|>");
  const Tokenizer p50k = load(filler(50281, 50256), SplitPattern::gpt2);
  EXPECT_EQ(p50k.end_of_text(), 50256);
  EXPECT_EQ(p50k.vocab_size(), 50281);
  EXPECT_EQ(load(filler(50281), SplitPattern::gpt2).end_of_text(), 50281);
  EXPECT_EQ(load(filler(100256), SplitPattern::llama3).end_of_text(), 100256);
}

TEST_F(RankFileTest, SavedWithOneMergeForEachToken) {
  write_text_file(path, bytes() + "aGU= 256\ndGhl 257\ndGg= 258\n");  // "the" is both t+he and th+e
  const auto to = folder / "tokenizer.json";
  save_tokenizer(load_tokenizer(path, {.pattern = SplitPattern::gpt2}), to);
  const auto model = nlohmann::json::parse(read_text_file(to))["model"];
  EXPECT_EQ(model["merges"], nlohmann::json({"h e", "t he", "t h"}));
  EXPECT_EQ(model["ignore_merges"], true);
}

// Ranks are random, so no merge makes many of the tokens, and others have parts of higher rank than their own.
TEST_F(RankFileTest, SavedWithTheSameIds) {
  for (uint64_t seed = 0; seed < 9; ++seed) {
    const Rng rng(seed, 0);
    uint64_t draws = 0;
    const auto random_text = [&](uint64_t length) {
      std::string out;
      for (uint64_t i = 0; i < length; ++i) out += static_cast<char>('a' + rng.below(draws++, seed % 3 + 1));
      return out;
    };
    std::string ranks = bytes();
    std::set<std::string> known;
    for (int i = 0; i < 40; ++i)
      if (const std::string token = random_text(2 + rng.below(draws++, 5)); known.insert(token).second)
        ranks += to_base64(token) + " " + std::to_string(255 + known.size()) + "\n";
    write_text_file(path, ranks);
    const Tokenizer original = load_tokenizer(path, {.pattern = SplitPattern::gpt2});
    const auto to = folder / "tokenizer.json";
    save_tokenizer(original, to);
    const Tokenizer saved = load_tokenizer(to);
    EXPECT_EQ(saved.vocab_size(), original.vocab_size());
    for (int i = 0; i < 60; ++i) {
      const std::string word = random_text(1 + rng.below(draws++, 24));
      EXPECT_EQ(saved.encode(word), original.encode(word)) << seed << " " << word;
    }
  }
}

}  // namespace
}  // namespace gptmoe
