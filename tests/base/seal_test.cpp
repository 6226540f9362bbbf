#include "base/seal.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

const ordered_json kObject = {{"step", 12}, {"loss", 3.25}, {"list", {1, 2, 3}}};

TEST(Seal, IsTheLastKeyInAnyLayout) {
  for (const int indent : {-1, 1, 2}) {
    const std::string content = sealed(kObject.dump(indent));
    ordered_json read = ordered_json::parse(content);
    EXPECT_EQ(std::prev(read.end()).key(), "checksum");
    EXPECT_EQ(read.dump(indent) + "\n", content) << "it looks as if dump() had written it";
    EXPECT_EQ(seal_of(content), Seal::intact);
    EXPECT_EQ(seal_digits(content), read["checksum"]);
    EXPECT_EQ(seal_digits(kObject.dump(indent) + "\n"), "");
    read.erase("checksum");
    EXPECT_EQ(read, kObject);
    EXPECT_EQ(seal_of(kObject.dump(indent) + "\n"), Seal::none);
  }
  EXPECT_THROW(sealed("{}"), BugError);
  EXPECT_EQ(seal_of(""), Seal::none);
  EXPECT_EQ(seal_of("{"), Seal::none);
}

// Damage breaks the seal or leaves no JSON object. It never gives an object with other values.
TEST(Seal, EveryFlippedBitAndLostByteShows) {
  for (const int indent : {-1, 2}) {
    const std::string content = sealed(kObject.dump(indent));
    const auto hidden = [&](const std::string& damaged) {
      if (seal_of(damaged) == Seal::broken) return false;
      ordered_json read = ordered_json::parse(damaged, nullptr, false);
      if (read.is_discarded()) return false;
      read.erase("checksum");
      return read != kObject;
    };
    for (size_t i = 0; i < content.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = content;
        damaged[i] = static_cast<char>(damaged[i] ^ 1 << bit);
        EXPECT_FALSE(hidden(damaged)) << damaged;
      }
      std::string shorter = content;
      shorter.erase(i, 1);
      EXPECT_FALSE(hidden(shorter)) << shorter;
      EXPECT_FALSE(hidden(content.substr(0, i)));
    }
  }
}

TEST(Seal, ADamagedFileIsNamedAndAnOlderOneRead) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder / "a.json";
  write_text_file(path, sealed(kObject.dump(2)));
  const auto read = [&] { return parse_sealed_json<ordered_json>(read_text_file(path), path.string()); };
  EXPECT_EQ(read()["step"], 12);
  std::string damaged = read_text_file(path);
  damaged[damaged.find('2')] = '3';
  write_text_file(path, damaged);
  EXPECT_EQ(message<UserError>([&] { read(); }),
            path.string() + ": does not match its own checksum: it is damaged, cut short or edited");
  write_text_file(path, kObject.dump(2));
  EXPECT_EQ(read(), kObject);
}

}  // namespace
}  // namespace gptmoe
