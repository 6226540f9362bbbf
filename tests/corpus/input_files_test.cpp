#include "corpus/input_files.h"

#include <chrono>

#include "corpus/input_helpers.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct InputFilesTest : InputTest {
  // The listed files, as paths relative to the test's folder.
  std::vector<std::string> list(std::vector<std::string> inputs) {
    for (std::string& input : inputs) input = at(input);
    listing = list_input_files(inputs);
    std::vector<std::string> names;
    for (const InputFile& file : listing.files)
      names.push_back(file.path == kStandardInput ? file.path : file.path.substr(at("").size()));
    return names;
  }
  std::string at(const std::string& name) const {
    return name == kStandardInput ? name : folder.path().string() + "/" + name;
  }
  std::string error(const std::string& input) {
    return error_of([&] { list({input}); });
  }
  InputListing listing;
};

using Names = std::vector<std::string>;

TEST_F(InputFilesTest, TheNameDeterminesTheFormat) {
  const auto kind = [](const char* name) {
    const auto format = text_format(name);
    return format ? text(format->json_lines, static_cast<int>(format->compression)) : "none";
  };
  EXPECT_EQ(kind("a.txt"), "00");
  EXPECT_EQ(kind("a.jsonl"), "10");
  EXPECT_EQ(kind("dir.txt.gz/b.rst.txt.gz"), "01");
  EXPECT_EQ(kind("a.jsonl.zst"), "12");
  for (const char* other : {"a", "a.gz", "a.json", "a.txt.bz2", "a.txt.gz.gz", ".txt", "a.TXT", "-"})
    EXPECT_EQ(kind(other), "none") << other;
}

TEST_F(InputFilesTest, KeepsTheOrderOfInputsAndSortsTheFilesOfFolders) {
  for (const char* name : {"f/b.txt", "f/a.txt", "f/a/z.jsonl.gz", "f/c.jsonl", "f/a/notes.md", "f/c.txt.zst", "x.txt"})
    write(name, name);
  EXPECT_EQ(list({"x.txt", "f", "-", "x.txt"}),
            (Names{"x.txt", "f/a/z.jsonl.gz", "f/a.txt", "f/b.txt", "f/c.jsonl", "f/c.txt.zst", "-", "x.txt"}));
  EXPECT_EQ(listing.ignored, 1);
  EXPECT_EQ(listing.files[1].bytes, 14);
  EXPECT_EQ(listing.files[6].bytes, 0);
  EXPECT_EQ(listing.files[6].mtime_ns, 0);
  EXPECT_EQ(listing.files[0].mtime_ns, listing.files[7].mtime_ns);
  const int64_t written = listing.files[0].mtime_ns;
  fs::last_write_time(at("x.txt"), fs::last_write_time(at("x.txt")) + std::chrono::nanoseconds(1));
  list({"x.txt"});
  EXPECT_EQ(listing.files[0].mtime_ns, written + 1);
}

TEST_F(InputFilesTest, PatternsMatchFilesAndFolders) {
  for (const char* name : {"part-1.txt", "part-0.jsonl", "part-2/b.txt", "part-2/a.txt", "part.csv", "other.txt"})
    write(name, "x");
  EXPECT_EQ(list({"part*"}), (Names{"part-0.jsonl", "part-1.txt", "part-2/a.txt", "part-2/b.txt"}));
  EXPECT_EQ(listing.ignored, 1);
  EXPECT_EQ(list({"part-[12]*"}), (Names{"part-1.txt", "part-2/a.txt", "part-2/b.txt"}));
  write("odd[1].txt", "x");
  write("odd1.txt", "x");
  EXPECT_EQ(list({"odd[1].txt"}), Names{"odd[1].txt"}) << "a name that exists is not a pattern";
}

TEST_F(InputFilesTest, HiddenFilesAndFoldersAreReadOnlyIfTheyAreNamed) {
  for (const char* name : {"f/a.txt", "f/.b.txt", "f/.git/c.txt", "f/.git/d/e.txt", "f/g/.DS_Store", "f/g/h.txt"})
    write(name, "x");
  EXPECT_EQ(list({"f"}), (Names{"f/a.txt", "f/g/h.txt"}));
  EXPECT_EQ(listing.hidden, 3);
  EXPECT_EQ(listing.ignored, 0);
  EXPECT_EQ(list({"f/*"}), (Names{"f/a.txt", "f/g/h.txt"}));
  EXPECT_EQ(list({"f/.git"}), (Names{"f/.git/c.txt", "f/.git/d/e.txt"}));
  EXPECT_EQ(list({"f/.b.txt", "f/.g*"}), (Names{"f/.b.txt", "f/.git/c.txt", "f/.git/d/e.txt"}));
  write("only/.hidden.txt", "x");
  expect_contains(error("only"), "in this folder (hidden files and folders are read only if they are named)");
}

TEST_F(InputFilesTest, Links) {
  write("real/a.txt", "x");
  std::filesystem::create_directory(folder / "f");
  std::filesystem::create_symlink("../real/a.txt", folder / "f/file.txt");
  std::filesystem::create_directory_symlink("../f", folder / "f/circle");
  std::filesystem::create_symlink("nowhere", folder / "f/lost.txt");
  std::filesystem::create_symlink("self.txt", folder / "f/self.txt");
  EXPECT_EQ(list({"f"}), (Names{"f/file.txt", "f/lost.txt", "f/self.txt"})) << "reading them reports the broken links";
  EXPECT_EQ(listing.ignored, 1);
  std::filesystem::create_directory_symlink("real", folder / "g");
  EXPECT_EQ(list({"g"}), Names{"g/a.txt"});
}

TEST_F(InputFilesTest, BadInputsAreErrorsWithARemedy) {
  write("a.csv", "x");
  write("f/b.csv", "x");
  const std::string no_files = ": no .txt or .jsonl files (optionally .gz or .zst) ";
  EXPECT_EQ(error("none.txt"), at("none.txt") + ": no such file or folder; correct --input");
  EXPECT_EQ(error("none*.txt"), at("none*.txt") + ": nothing matches this pattern; correct --input");
  EXPECT_EQ(error("*.csv"), at("*.csv") + no_files + "match this pattern; correct --input");
  EXPECT_EQ(error("f"), at("f") + no_files + "in this folder; correct --input");
  EXPECT_EQ(error("a.csv"),
            at("a.csv") +
                ": the name does not end in .txt or .jsonl (optionally followed by .gz or .zst); rename the file, or "
                "pipe the text in and give \"-\"");
  EXPECT_EQ(error_of([&] { list({"-", "-"}); }), "--input - is given twice; give it once");
}

}  // namespace
}  // namespace gptmoe
