#include "corpus/byte_source.h"

#include <zstd_errors.h>

#include <utility>

#include "corpus/input_helpers.h"

namespace gptmoe {
namespace {

struct Outcome {
  std::string text, error;  // what was read, and the error that ended it if there was one
};

Outcome read_all(ByteSource& source, size_t room = 100'000) {
  Outcome out;
  std::string chunk(room, '\0');
  int64_t consumed = source.consumed();
  try {
    while (const size_t n = source.read(chunk.data(), room)) {
      out.text.append(chunk, 0, n);
      EXPECT_GE(source.consumed(), consumed);
      consumed = source.consumed();
    }
  } catch (const UserError& error) {
    out.error = error.what();
    EXPECT_EQ(error_of([&] { source.read(chunk.data(), room); }), out.error) << "another read gives the same error";
  }
  return out;
}

struct ByteSourceTest : InputTest {
  Outcome outcome(std::string_view content, Compression compression) {
    return read_all(*open_byte_source(write("file", content), compression));
  }
  std::string path() const { return (folder / "file").string(); }
};

TEST_F(ByteSourceTest, TextIsTheSameWithEveryCompressionAndBufferSize) {
  const std::string text = random_text(700'000), first = text.substr(0, 300'000), last = text.substr(300'000);
  const std::string skippable("\x50\x2A\x4D\x18\x03\0\0\0abc", 11);
  const std::pair<std::string, Compression> packings[] = {
      {text, Compression::none},
      {gzip_of(text), Compression::gzip},
      {gzip_of(first) + gzip_of("") + gzip_of(last), Compression::gzip},
      {zstd_of(text), Compression::zstd},
      {zstd_of(first) + zstd_of("") + skippable + zstd_of(last) + skippable, Compression::zstd},
  };
  for (const auto& [content, compression] : packings) {
    const std::string path = write("file", content);
    for (const size_t room : {size_t{77}, size_t{4096}, size_t{1} << 20}) {
      const auto source = open_byte_source(path, compression);
      EXPECT_EQ(source->consumed(), 0);
      const Outcome out = read_all(*source, room);
      EXPECT_TRUE(out.text == text) << static_cast<int>(compression) << " " << room << " " << out.error;
      EXPECT_EQ(source->consumed(), std::ssize(content));
    }
    const auto source = open_byte_source(path, compression);
    EXPECT_TRUE(source->skip(1));
    EXPECT_TRUE(source->skip(543'210));
    EXPECT_TRUE(read_all(*source).text == text.substr(543'211));
    EXPECT_FALSE(open_byte_source(path, compression)->skip(700'001));
  }
}

TEST_F(ByteSourceTest, EmptyTexts) {
  for (const auto& [content, compression] : {std::pair<std::string, Compression>{"", Compression::none},
                                             {gzip_of(""), Compression::gzip},
                                             {zstd_of(""), Compression::zstd}}) {
    EXPECT_EQ(outcome(content, compression).text, "");
    EXPECT_EQ(outcome(content, compression).error, "");
  }
}

TEST_F(ByteSourceTest, AcceptsWindowsUpTo128MiB) {
  // A hand-made frame (RFC 8878, section 3.1.1): a window of 2^27 bytes, then a single raw block of five bytes.
  std::string frame("\x28\xB5\x2F\xFD\x00\x88\x29\x00\x00hello", 14);
  EXPECT_EQ(outcome(frame, Compression::zstd).text, "hello");
  frame[5] = '\x90';  // a window of 2^28 bytes
  EXPECT_EQ(outcome(frame, Compression::zstd).error,
            path() +
                ": needs more than 128 MiB of memory to decompress (zstd --long); decompress it with "
                "zstd -d --long=31 and pipe it in");
  const Outcome second = outcome(zstd_of("before") + frame, Compression::zstd);
  EXPECT_EQ(second.text, "before");
  expect_contains(second.error, "more than 128 MiB");
}

TEST_F(ByteSourceTest, MissingFilesAndFoldersAreErrors) {
  const std::string none = (folder / "none").string();
  EXPECT_EQ(error_of([&] { open_byte_source(none, Compression::none); }),
            none + ": cannot open: No such file or directory; make it readable or correct --input");
  const std::string directory = folder.path().string();
  EXPECT_EQ(error_of([&] { open_byte_source(directory, Compression::gzip); }),
            directory + ": not a regular file; pipe the text in and give \"-\", or correct --input");
}

TEST_F(ByteSourceTest, DataThatIsNotCompressedIsAnError) {
  EXPECT_EQ(outcome("plain text", Compression::gzip).error,
            path() + ": byte 2: damaged gzip data (incorrect header check); get the file again");
  EXPECT_EQ(outcome("plain text", Compression::zstd).error,
            gptmoe::text(path(), ": byte 0: damaged zstd data (", ZSTD_getErrorString(ZSTD_error_prefix_unknown),
                         "); get the file again"));
  const Outcome trailing = outcome(gzip_of("x") + "more", Compression::gzip);
  EXPECT_EQ(trailing.text, "x");
  EXPECT_EQ(trailing.error, path() + ": byte " + std::to_string(gzip_of("x").size() + 2) +
                                ": damaged gzip data (incorrect header check); get the file again");
}

// Tapes and some programs fill the last block with zeros. gzip ignores them, and zstd does not.
TEST_F(ByteSourceTest, ZerosAfterTheLastGzipMemberArePadding) {
  const std::string text = random_text(1000), members = gzip_of(text) + gzip_of(text);
  for (const size_t zeros : {1, 512, 600'000}) {
    const std::string padded = members + std::string(zeros, '\0');
    const Outcome whole = outcome(padded, Compression::gzip);
    EXPECT_TRUE(whole.text == text + text) << zeros;
    EXPECT_EQ(whole.error, "");
    for (const std::string& more : {std::string("x"), gzip_of("more")}) {
      const Outcome damaged = outcome(padded + more, Compression::gzip);
      EXPECT_TRUE(damaged.text == text + text) << zeros;
      EXPECT_EQ(damaged.error, gptmoe::text(path(), ": byte ", padded.size(),
                                            ": damaged gzip data (more data after zeros); get the file again"));
    }
  }
  expect_contains(outcome(std::string(512, '\0'), Compression::gzip).error, "damaged gzip data (incorrect header");
  const Outcome zstd = outcome(zstd_of(text) + std::string(512, '\0'), Compression::zstd);
  EXPECT_TRUE(zstd.text == text);
  EXPECT_EQ(zstd.error, gptmoe::text(path(), ": byte ", zstd_of(text).size(), ": damaged zstd data (",
                                     ZSTD_getErrorString(ZSTD_error_prefix_unknown), "); get the file again"));
}

TEST_F(ByteSourceTest, TruncatedFilesGiveTheTextTheyHold) {
  const std::string text = random_text(1000);
  for (const Compression compression : {Compression::gzip, Compression::zstd}) {
    const bool gzip = compression == Compression::gzip;
    const std::string member = gzip ? gzip_of(text) : zstd_of(text), content = member + member;
    for (size_t bytes = 0; bytes < content.size(); ++bytes) {
      if (bytes == member.size()) continue;  // not cut: the end of a member
      const Outcome out = outcome(content.substr(0, bytes), compression);
      EXPECT_TRUE((text + text).starts_with(out.text)) << bytes;
      EXPECT_GE(out.text.size(), bytes > member.size() ? text.size() : 0);
      EXPECT_EQ(out.error, gptmoe::text(path(), ": byte ", bytes, ": the file ends in the middle of its ",
                                        gzip ? "gzip" : "zstd", " data; get the whole file"));
    }
  }
}

TEST_F(ByteSourceTest, TheTextBeforeDamageIsKept) {
  const std::string text = random_text(900'000);
  std::string gzip = gzip_of(text), zstd = zstd_of(text);
  gzip[gzip.size() - 8] ^= 1;  // the checksum of the text
  const Outcome sum = outcome(gzip, Compression::gzip);
  EXPECT_TRUE(sum.text == text);
  EXPECT_EQ(sum.error, gptmoe::text(path(), ": byte ", gzip.size() - 4,
                                    ": damaged gzip data (incorrect data check); get the file again"));

  // The fifth block of 128 KiB of text gets the reserved type (RFC 8878, section 3.1.1.2).
  size_t block = 9;  // just after the frame's header, which holds the size of the text in four bytes
  for (int i = 0; i < 4; ++i) {
    const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(zstd[block + at])); };
    block += 3 + ((byte(0) | byte(1) << 8 | byte(2) << 16) >> 3);
  }
  zstd[block] |= 6;
  const Outcome reserved = outcome(zstd, Compression::zstd);
  EXPECT_TRUE(reserved.text == text.substr(0, 4 * 131072)) << reserved.text.size();
  const Outcome later = outcome(zstd_of("1234567") + zstd, Compression::zstd);  // block ends and buffer ends differ
  EXPECT_TRUE(later.text == "1234567" + text.substr(0, 4 * 131072)) << later.text.size();
  EXPECT_EQ(reserved.error, gptmoe::text(path(), ": byte ", block + 2, ": damaged zstd data (",
                                         ZSTD_getErrorString(ZSTD_error_corruption_detected), "); get the file again"));
}

TEST_F(ByteSourceTest, FlippedBitsNeverChangeTheTextUnnoticed) {
  const std::string text = random_text(2000);
  std::mt19937 random(7);
  for (const Compression compression : {Compression::gzip, Compression::zstd}) {
    const std::string content = compression == Compression::gzip ? gzip_of(text) : zstd_of(text);
    for (int trial = 0; trial < 400; ++trial) {
      std::string flipped = content;
      for (unsigned flips = 1 + random() % 3; flips > 0; --flips)
        flipped[random() % content.size()] ^= 1 << random() % 8;
      const Outcome out = outcome(flipped, compression);
      if (out.error.empty()) {
        EXPECT_TRUE(out.text == text) << trial;
      } else {
        EXPECT_TRUE(out.error.starts_with(path() + ": byte ")) << out.error;
      }
    }
  }
}

TEST_F(ByteSourceTest, StandardInputMayBeCompressed) {
  const std::string text = random_text(300'000);
  for (const std::string& content : {text, gzip_of(text), zstd_of(text), std::string("ab"), std::string()}) {
    const StandardInputFrom from(write("file", content));
    const auto source = open_standard_input();
    EXPECT_EQ(source->consumed(), 0);
    EXPECT_TRUE(read_all(*source).text == (content.size() > 2 ? text : content));
    EXPECT_EQ(source->consumed(), std::ssize(content));
  }
  const StandardInputFrom from(write("file", gzip_of(text).substr(0, 100)));
  EXPECT_EQ(read_all(*open_standard_input()).error,
            "standard input: byte 100: the file ends in the middle of its gzip data; get the whole file");
}

}  // namespace
}  // namespace gptmoe
