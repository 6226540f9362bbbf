// Every damage and every contradiction in a file of token ids is one line that names the file and the byte.
#include "corpus/token_file.h"

#include "corpus/token_layouts.h"
#include "support/error_line.h"
#include "support/write_shard.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct TokenFileTest : testing::Test {
  fs::path write(const std::string& name, const std::string& bytes) {
    write_text_file(folder / name, bytes);
    return folder / name;
  }
  static std::vector<int32_t> ids(const fs::path& path, const TokenFileOptions& options) {
    const TokenFile file(path, options);
    std::vector<int32_t> out(static_cast<size_t>(file.size()));
    file.read(0, file.size(), out.data());
    return out;
  }
  // Expects the message "PATH: LINE". If LINE ends in "...", only the text before that must agree.
  static void expect_refusal(const fs::path& path, const TokenFileOptions& options, std::string line,
                             const fs::path& named = {}) {
    line = (named.empty() ? path : named).string() + ": " + line;
    const std::string found = error_of([&] { ids(path, options); });
    if (line.ends_with("..."))
      EXPECT_EQ(found.substr(0, line.size() - 3) + "...", line);
    else
      EXPECT_EQ(found, line);
  }

  TemporaryFolder folder;
  const std::vector<int32_t> some = {5, 0, 70, 99};
  TokenFileOptions plain{.vocab_size = 100, .format = TokenFormat::nanogpt};
};

TEST_F(TokenFileTest, PlainArraysAreReadInTheTypeThatTheVocabularyNeeds) {
  EXPECT_EQ(ids(write("a.bin", bytes_of<uint16_t>(some)), plain), some);
  EXPECT_EQ(ids(write("b.npy", bytes_of<uint16_t>(some)), {.vocab_size = 100}), some);
  plain.vocab_size = 65537;
  EXPECT_EQ(ids(write("c.bin", bytes_of<uint32_t>(some)), plain), some);
}

TEST_F(TokenFileTest, EveryIntegerType) {
  const auto check = [&]<typename T>(const char* name, uint8_t megatron, const char* descr, T) {
    plain.type = id_type_named(name);
    EXPECT_EQ(ids(write("a.bin", bytes_of<T>(some)), plain), some) << name;
    const std::string array = npy(descr, "(4,)", bytes_of<T>(some));
    EXPECT_EQ(ids(write("b.npy", array), {.vocab_size = 100}), some) << name;
    EXPECT_EQ(ids(write("c.npy", npy(descr, "(4,)", bytes_of<T>(some), 2)), {.vocab_size = 100}), some) << name;
    if (megatron == 0) return;
    write_megatron<T>(folder / "m", megatron, {some});
    EXPECT_EQ(ids(folder / "m.bin", {.vocab_size = 100}), some) << name;
  };
  check("uint8", 1, "'|u1'", uint8_t{});
  check("int8", 2, "'|i1'", int8_t{});
  check("int16", 3, "'<i2'", int16_t{});
  check("int32", 4, "'<i4'", int32_t{});
  check("int64", 5, "'<i8'", int64_t{});
  check("uint16", 8, "'<u2'", uint16_t{});
  check("uint32", 0, "'<u4'", uint32_t{});
  check("uint64", 0, "'<u8'", uint64_t{});
}

TEST_F(TokenFileTest, AnIdOutsideTheVocabularyIsNamedWithItsByte) {
  std::vector<int32_t> many(40000, 3);
  many[30001] = 100;
  expect_refusal(write("a.bin", bytes_of<uint16_t>(many)), plain,
                 "byte 60002: id 100 (uint16) is not in the vocabulary of 100 entries; correct --tokenizer or "
                 "--vocab-size, or give the --dtype of the file");
  expect_refusal(
      write("b.npy", npy("'<i4'", "(2,)", bytes_of<int32_t>(std::vector{7, -3}))), {.vocab_size = 100},
      "byte 132: id -3 (int32) is not in the vocabulary of 100 entries; correct --tokenizer or --vocab-size");
  plain.type = id_type_named("int8");
  expect_refusal(write("c.bin", bytes_of<int8_t>(std::vector{1, -1})), plain, "byte 1: id -1 (int8) is not in...");
  plain.type = id_type_named("int64");
  expect_refusal(write("d.bin", bytes_of<int64_t>(std::vector{int64_t{1} << 32})), plain,
                 "byte 0: id 4294967296 (int64) is not in...");
  plain.type = id_type_named("uint64");
  expect_refusal(write("e.bin", std::string(8, '\xFF')), plain,
                 "byte 0: id 18446744073709551615 (uint64) is not in...");
}

TEST_F(TokenFileTest, DamagedPlainFiles) {
  expect_refusal(
      write("a.bin", "abcde"), plain,
      "byte 4: 1 byte left at the end, too few for another uint16; copy the file again, or give its --dtype");
  expect_refusal(write("a.bin", ""), plain, "empty file, but token ids are expected; copy it again or leave it out");
  expect_refusal(folder / "none.bin", plain, "cannot open: No such file or directory...");
}

TEST_F(TokenFileTest, IdsOf32BitsAreNotReadAsTwice16) {
  const fs::path path = write("a.bin", bytes_of<uint32_t>(std::vector<int32_t>(40, 7)));
  expect_refusal(
      path, plain,
      "byte 2: every second id is below 4 as uint16, so the ids seem to be wider; give --dtype uint32, or --dtype "
      "uint16 if they are right");
  plain.type = id_type_named("uint32");
  EXPECT_EQ(ids(path, plain), std::vector<int32_t>(40, 7));
  plain.type = id_type_named("uint16");
  EXPECT_EQ(ids(path, plain).size(), 80u);
  plain.type = nullptr;
  EXPECT_EQ(ids(write("z.bin", std::string(200, '\0')), plain), std::vector<int32_t>(100, 0));
  plain.vocab_size = 50257;  // not the tokenizer that wrote the file
  const fs::path high = write("high.bin", bytes_of<uint32_t>(std::vector<int32_t>(40, 200000)));
  expect_refusal(high, plain, "byte 2: every second id is below 4 as uint16...");
}

TEST_F(TokenFileTest, IdsOf64BitsAreNotReadInANarrowerType) {
  const std::string wide = "byte 4: every second word of 32 bits is 0, so the ids seem to have 64 bits, more than ";
  const fs::path path = write("a.bin", bytes_of<int64_t>(std::vector<int32_t>(20, 70)));
  for (const char* type : {"", "uint16", "int16", "uint32", "int32"}) {
    plain.type = id_type_named(type);
    expect_refusal(path, plain, text(wide, *type ? type : "uint16", "; give --dtype uint64 or int64"));
  }
  plain.vocab_size = 100000;
  plain.type = nullptr;
  expect_refusal(path, plain, wide + "uint32; ...");
  plain.type = id_type_named("int64");
  EXPECT_EQ(ids(path, plain), std::vector<int32_t>(20, 70));
  plain.type = id_type_named("uint32");
  EXPECT_EQ(ids(write("z.bin", std::string(200, '\0')), plain), std::vector<int32_t>(50, 0));
  std::vector<int32_t> alternating(40, 70);
  for (size_t i = 1; i < 39; i += 2) alternating[i] = 0;
  EXPECT_EQ(ids(write("b.bin", bytes_of<uint32_t>(alternating)), plain), alternating);
}

TEST_F(TokenFileTest, TheFormatMustBeKnown) {
  const fs::path path = write("a.bin", bytes_of<uint16_t>(some));
  expect_refusal(path, {.vocab_size = 100},
                 "cannot tell the format, since no a.idx is beside it; give --format nanogpt for a plain array of ids, "
                 "or copy Megatron's .idx there");
  expect_refusal(path, {.vocab_size = 100, .format = TokenFormat::megatron},
                 "no such file, but Megatron's .bin needs it; copy it there", folder / "a.idx");
  expect_refusal(write("b.bin", npy("'<u2'", "(4,)", bytes_of<uint16_t>(some))), plain,
                 "byte 0: begins like a NumPy file; leave out --format or give --format olmo");
  EXPECT_EQ(ids(folder / "b.bin", {.vocab_size = 100}), some);
  write_shard(folder / "s.bin", 100, some);
  for (const auto format : {std::optional<TokenFormat>(), std::optional(TokenFormat::nanogpt)})
    expect_refusal(folder / "s.bin", {.vocab_size = 100, .format = format},
                   "byte 0: already a token shard; name it in a config's \"data\" as it is");
}

TEST_F(TokenFileTest, DamagedNumPyFiles) {
  const std::string data = bytes_of<uint16_t>(some), good = npy("'<u2'", "(4,)", data);
  const auto refuse = [&](const std::string& bytes, const std::string& line) {
    expect_refusal(write("a.npy", bytes), {.vocab_size = 100}, line);
  };
  refuse(good.substr(0, good.size() - 1),
         "truncated: its header counts 4 ids of uint16, found 7 bytes of ids; copy or write the file again");
  refuse(good + "ab", "too long: its header counts 4 ids of uint16, found 10 bytes of ids...");
  refuse(good.substr(0, 100), "byte 8: the NumPy header takes 118 bytes, but the file has 100...");
  refuse("\x93NUMPY\x04" + good.substr(7), "byte 6: version 4 of NumPy's format is not supported, only 1 to 3...");
  refuse(npy("'<f4'", "(4,)", data),
         "byte 10: the NumPy array holds '<f4', but ids are little-endian integers such as '<u2' or '<i4'; convert it "
         "with astype and save it again");
  refuse(npy("'>u2'", "(4,)", data), "byte 10: the NumPy array holds '>u2'...");
  refuse(npy("[('a', '<u2')]", "(4,)", data), "byte 10: the NumPy array holds [('a'...");
  for (const char* shape : {"(2, 2)", "()", "(4)", "(-4,)", "(x,)"})
    refuse(npy("'<u2'", shape, data), text("byte 10: the NumPy array has the shape ", shape, "..."));
  refuse(npy("'<u2\n'", "(4,)", data), "byte 10: the NumPy array holds '<u2?', but...");
  refuse(npy("'" + std::string(5000, 'u') + "'", "(4,)", data),
         "byte 10: the NumPy array holds '" + std::string(59, 'u') + ", but...");
  refuse(npy("'<u2'", "(99999999999999999999,)", data), "byte 10: the NumPy array has the shape (9999...");
  refuse(npy("'<u8'", "(2305843009213693953,)", data), "truncated: its header counts...");
  refuse(npy("'<u2'", "4", data), "byte 10: the NumPy header has no 'shape'; save the array again with numpy.save");
  refuse(npy("'<u2'", "(0,)", ""), "holds no ids; leave it out");
  expect_refusal(write("a.npy", good), {.vocab_size = 100, .type = id_type_named("uint32")},
                 "its header says uint16, not --dtype uint32; leave out --dtype");
}

struct MegatronTest : TokenFileTest {
  MegatronTest() {
    for (int64_t length : {2, 0, 2}) index.add(length, 2);
    write("m.bin", bytes_of<uint16_t>(some));
  }
  // The ends of all documents.
  std::vector<int64_t> ends() {
    write("m.idx", index.bytes());
    TokenFile file(folder / "m.bin", {.vocab_size = 100});
    std::vector<int64_t> ends;
    file.index()->seek(0);
    for (int64_t document = 0; document < file.index()->documents(); ++document)
      ends.push_back(file.index()->next_end());
    return ends;
  }
  void expect_refusal(const std::string& line) {
    const std::string found = error_of([&] { ends(); }),
                      start = (folder / "m.idx").string() + ": " + line + "; copy the index";
    EXPECT_EQ(found.substr(0, start.size()), start);
  }
  // Expects the refusal of the good index after `change`.
  template <typename Change>
  void refused_with(Change change, const std::string& line) {
    const MegatronFields good = index;
    change(index);
    expect_refusal(line);
    index = good;
  }
  MegatronFields index;
};

TEST_F(MegatronTest, DocumentsOfSeveralSequences) {
  EXPECT_EQ(ends(), (std::vector<int64_t>{2, 2, 4}));
  index.bounds = {0, 2, 3};
  EXPECT_EQ(ends(), (std::vector<int64_t>{2, 4}));
  write("m.idx", index.bytes() + std::string(3, '\0'));  // followed by a mode for each sequence
  EXPECT_EQ(TokenFile(folder / "m.bin", {.vocab_size = 100}).size(), 4);
}

TEST_F(MegatronTest, DamagedIndexes) {
  refused_with([](auto& m) { m.magic[0] = 'X'; }, "byte 0: not a Megatron index, which begins with MMIDIDX");
  refused_with([](auto& m) { m.version = 2; }, "byte 9: version 2 of the index is not supported, only 1");
  refused_with([](auto& m) { m.code = 7; }, "byte 17: type 7 (float32) of the .bin cannot hold ids");
  refused_with([](auto& m) { m.code = 9; }, "byte 17: type 9 of the .bin cannot hold ids");
  refused_with([](auto& m) { m.bounds = {}; }, "byte 26: the index has no document bounds");
  refused_with([](auto& m) { m.bounds[0] = 1; }, "byte 70: the first document begins at sequence 1, not at 0");
  refused_with([](auto& m) { m.bounds[3] = 2; },
               "byte 94: the last document ends at sequence 2, but the index has 3 sequences");
  refused_with([](auto& m) { m.bounds[1] = 4; },
               "byte 78: a document is bounded by sequence 4, but the index has 3 sequences");
  refused_with([](auto& m) { m.bounds[2] = -1; },
               "byte 86: a document is bounded by sequence -1, but the index has 3 sequences");
  refused_with(
      [](auto& m) {
        m.bounds = {0, 2, 1, 3};
      },
      "byte 86: document 1 ends at sequence 1, before its beginning at sequence 2");
  refused_with([](auto& m) { m.pointers[1] = 6; },
               "byte 54: sequence 1 begins at byte 6 of the .bin, but the sequence before it ends at byte 4");
  refused_with([](auto& m) { m.lengths[1] = 5; },
               "byte 38: sequence 1 has 5 ids, but the last sequence leaves 2 for it");
  refused_with([](auto& m) { m.lengths[0] = -1; },
               "byte 34: sequence 0 has -1 ids, but the last sequence leaves 4 for it");
  for (int64_t first : {int64_t{4}, int64_t{-6}, INT64_MAX})
    refused_with([&](auto& m) { m.pointers[0] = first; },
                 text("byte 46: the first sequence begins at byte ", first, " of the .bin, not at 0"));
  refused_with([](auto& m) { m.pointers[2] = 3; }, "byte 62: the last sequence, of 2 ids, begins at byte 3");
  refused_with([](auto& m) { m.pointers[2] = INT64_MAX; },
               text("byte 62: the last sequence, of 2 ids, begins at byte ", INT64_MAX));
}

TEST_F(MegatronTest, CutFiles) {
  const std::string good = index.bytes();
  const auto error = [&] { return error_of([&] { TokenFile(folder / "m.bin", {.vocab_size = 100}); }); };
  write("m.idx", good.substr(0, 20));
  expect_contains(error(), "m.idx: byte 20: truncated: an index has 34 bytes of header");
  for (const std::string& bytes : {good.substr(0, good.size() - 1), good + "x"}) {
    write("m.idx", bytes);
    expect_contains(error(), text("m.idx: byte 18: the header counts 3 sequences and 4 document bounds, which make 102 "
                                  "bytes, but the file has ",
                                  bytes.size(), " bytes"));
  }
  write("m.idx", good.substr(0, 18) + std::string(16, '\xFF') + good.substr(34));
  expect_contains(error(), "document bounds, which is impossible, but the file has 102 bytes");
  write("m.idx", good);
  write("m.bin", "abcdefg");
  expect_contains(error(), "m.bin: truncated: its index counts 4 ids of uint16, found 7 bytes of ids");
  write("m.bin", "abcdefghi");
  expect_contains(error(), "m.bin: too long: its index counts 4 ids of uint16, found 9 bytes of ids");
}

}  // namespace
}  // namespace gptmoe
