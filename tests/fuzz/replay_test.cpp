// Runs each fuzz target on its seeds and on a few hundred mutations, to catch bugs that a fuzzer would find
// immediately.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "base/file.h"
#include "fuzz/targets.h"
#include "support/test_folders.h"

namespace gptmoe {
namespace {

struct ReplayTest : testing::TestWithParam<fuzz::Target> {
  std::vector<std::string> seeds() const {
    std::vector<std::string> out;
    const auto folder = std::filesystem::path(source_folder()) / "tests/fuzz/seeds" / GetParam().name;
    for (const auto& path : glob_files((folder / "*").string())) out.push_back(read_text_file(path));
    return out;
  }
};

TEST_P(ReplayTest, Seeds) {
  ASSERT_FALSE(seeds().empty());
  for (const std::string& seed : seeds()) GetParam().run(seed);
}

// Changes, removes or duplicates a few bytes, or replaces them with bytes from another seed.
TEST_P(ReplayTest, Mutations) {
  std::mt19937 random(17);
  const auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  const auto all = seeds();
  for (int round = 0; round < 300; ++round) {
    std::string bytes = all[below(all.size())];
    for (size_t changes = 1 + below(4); changes > 0; --changes) {
      const size_t at = below(bytes.size() + 1), length = std::min(below(16), bytes.size() - at);
      const std::string& other = all[below(all.size())];
      const size_t from = below(other.size() + 1);
      switch (random() % 4) {
        case 0:
          for (size_t i = at; i < at + length; ++i) bytes[i] = static_cast<char>(random());
          break;
        case 1: bytes.erase(at, length); break;
        case 2: bytes.insert(at, bytes.substr(at, length)); break;
        case 3: bytes.replace(at, length, other.substr(from, below(64))); break;
      }
    }
    GetParam().run(bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Fuzz, ReplayTest, testing::ValuesIn(fuzz::kTargets),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace gptmoe
