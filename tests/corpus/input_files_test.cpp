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
  EXPECT_EQ(kind("c4-train.00000-of-01024.json.gz"), "11");
  EXPECT_EQ(kind("a.json"), "10");
  EXPECT_EQ(kind("a.ndjson.zst"), "12");
  for (const char* other : {"a", "a.gz", "a.txt.bz2", "a.txt.gz.gz", ".txt", "a.TXT", "-"})
    EXPECT_EQ(kind(other), "none") << other;
}

TEST_F(InputFilesTest, KeepsTheOrderOfInputsAndSortsTheFilesOfFolders) {
  for (const char* name :
       {"f/b.txt", "f/a.txt", "f/a/z.jsonl.gz", "f/c.jsonl", "f/a/notes.md", "f/c.txt.zst", "x.txt", "y.txt"})
    write(name, name);
  EXPECT_EQ(list({"x.txt", "f", "-", "y.txt"}),
            (Names{"x.txt", "f/a/z.jsonl.gz", "f/a.txt", "f/b.txt", "f/c.jsonl", "f/c.txt.zst", "-", "y.txt"}));
  EXPECT_EQ(listing.unread.first, Names{at("f/a/notes.md")});
  EXPECT_EQ(listing.files[1].bytes, 14);
  EXPECT_EQ(listing.files[6].bytes, 0);
  EXPECT_EQ(listing.files[6].mtime_ns, 0);
  const int64_t written = listing.files[0].mtime_ns;
  fs::last_write_time(at("x.txt"), fs::last_write_time(at("x.txt")) + std::chrono::nanoseconds(1));
  list({"x.txt"});
  EXPECT_EQ(listing.files[0].mtime_ns, written + 1);
}

TEST_F(InputFilesTest, PatternsMatchFilesAndFolders) {
  for (const char* name : {"part-1.txt", "part-0.jsonl", "part-2/b.txt", "part-2/a.txt", "part.md", "other.txt"})
    write(name, "x");
  EXPECT_EQ(list({"part*"}), (Names{"part-0.jsonl", "part-1.txt", "part-2/a.txt", "part-2/b.txt"}));
  EXPECT_EQ(listing.unread.first, Names{at("part.md")});
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
  EXPECT_EQ(listing.unread.count, 0);
  EXPECT_EQ(list({"f/*"}), (Names{"f/a.txt", "f/g/h.txt"}));
  EXPECT_EQ(list({"f/.git"}), (Names{"f/.git/c.txt", "f/.git/d/e.txt"}));
  EXPECT_EQ(list({"f/.b.txt", "f/.g*"}), (Names{"f/.b.txt", "f/.git/c.txt", "f/.git/d/e.txt"}));
  write("only/.hidden.txt", "x");
  expect_contains(error("only"), " (hidden files and folders are read only if they are named)");
}

TEST_F(InputFilesTest, Links) {
  write("real/a.txt", "x");
  std::filesystem::create_directory(folder / "f");
  std::filesystem::create_symlink("../real/a.txt", folder / "f/file.txt");
  std::filesystem::create_directory_symlink("../f", folder / "f/circle");
  std::filesystem::create_symlink("nowhere", folder / "f/lost.txt");
  std::filesystem::create_symlink("self.txt", folder / "f/self.txt");
  EXPECT_EQ(list({"f"}), (Names{"f/file.txt", "f/lost.txt", "f/self.txt"})) << "reading them reports the broken links";
  EXPECT_EQ(listing.unread.first, Names{at("f/circle/")});
  std::filesystem::create_directory_symlink("real", folder / "g");
  EXPECT_EQ(list({"g"}), Names{"g/a.txt"});
  EXPECT_EQ(list({"g*"}), Names{"g/a.txt"}) << "a pattern may match a link";
}

TEST_F(InputFilesTest, AFileIsReadOnceWhateverLinksLeadToIt) {
  write("f/a.txt", "x");
  std::filesystem::create_symlink("f/a.txt", folder / "link.txt");
  std::filesystem::create_hard_link(folder / "f/a.txt", folder / "hard.txt");
  std::filesystem::create_directory_symlink("f", folder / "same");
  for (const char* other : {"link.txt", "hard.txt", "same", "same/*", "f/../f/a.txt"})
    expect_contains(error_of([&] {
                      list({"f/a.txt", other});
                    }),
                    ": the same file as " + at("f/a.txt") + "; name it once, or remove one of the links");
  EXPECT_EQ(error_of([&] { list({"f/a.txt", "f"}); }), at("f/a.txt") + ": named twice; name it once");
}

TEST_F(InputFilesTest, NamesThatPromiseTextAreNotPassedOver) {
  const std::pair<const char*, std::vector<const char*>> kinds[] = {
      {"convert it with tools/parquet_to_jsonl.py", {"a.parquet", "a.ARROW", "a.feather"}},
      {"convert it to JSON lines (.jsonl)", {"a.csv", "a.csv.gz", "a.TSV", "a.warc.gz"}},
      {"unpack it", {"a.zip", "a.tar", "a.tar.gz", "a.tar.zst", "a.tgz"}},
      {"pack it with gzip or zstd instead", {"a.jsonl.bz2", "a.jsonl.xz", "a.txt.lz4", "a.txt.XZ"}},
      {"rename it to end in .txt or .jsonl, and then .gz or .zst if compressed",
       {"a.TXT", "a.Jsonl.GZ", "a.gz", "part-000.zst", "a.md.gz", "a.text", "a.jsonl.zstd"}},
      {"none",
       {"README.md", "LICENSE", "a.py", "a.jsonl.gz.sha256", "a.bin", "a.html", "a.jsonl", "a.json.gz", "a.txt"}}};
  for (const auto& [remedy, names] : kinds)
    for (const char* name : names) EXPECT_EQ(remedy_for_unread(name).value_or("none"), remedy) << name;
}

TEST_F(InputFilesTest, FilesWithTextInAnotherFormAreErrors) {
  for (const char* name : {"f/a.jsonl", "f/e.xz", "f/g/d.parquet", "f/c.bz2", "f/b.zip", "f/notes.md"})
    write(name, "x");
  const std::string what = at("f") + ": 4 files with text or data in a format that is not read; unpack it (" +
                           at("f/b.zip") + "); pack them with gzip or zstd instead (" + at("f/c.bz2") + ", " +
                           at("f/e.xz") + "); convert it with tools/parquet_to_jsonl.py (" + at("f/g/d.parquet") + ")";
  EXPECT_EQ(error("f"), what + "; or name only the files to read with --input, or leave them out with --on-error skip");
  expect_contains(error("f/*"), at("f/*") + ": 4 files with text or data in a format that is not read; ");
  const InputListing skipped = list_input_files({at("f")}, true);
  EXPECT_EQ(skipped.errors, Names{what});
  EXPECT_EQ(skipped.files.size(), 1u);
  EXPECT_EQ(skipped.unread.first, Names{at("f/notes.md")});
  write("only/a.parquet", "x");
  expect_contains(error("only"), at("only") + ": 1 file with text or data in a format that is not read; ");
}

TEST_F(InputFilesTest, OtherFilesAreCountedAndTheFirstAreNamed) {
  for (const char* name : {"f/a.txt", "f/z/README.md", "f/b.py", "f/LICENSE", "f/a.sha256", "f/z/dataset_info.json"})
    write(name, "x");
  list({"f"});
  EXPECT_EQ(listing.unread.count, 5);
  EXPECT_EQ(listing.unread.names(), at("f/LICENSE") + ", " + at("f/a.sha256") + ", " + at("f/b.py") + ", ...");
}

TEST_F(InputFilesTest, BadInputsAreErrorsWithARemedy) {
  write("a.csv", "x");
  write("f/b.md", "x");
  const std::string names = text("whose names end in ", kReadNames, "; correct --input");
  EXPECT_EQ(error("none.txt"), at("none.txt") + ": no such file or folder; correct --input");
  EXPECT_EQ(error("none*.txt"), at("none*.txt") + ": nothing matches this pattern; correct --input");
  EXPECT_EQ(error("f/*.md"), at("f/*.md") + ": this pattern matches no files " + names);
  EXPECT_EQ(error("f"), at("f") + ": no files in this folder " + names);
  EXPECT_EQ(error("a.csv"), text(at("a.csv"), ": the name does not end in ", kReadNames,
                                 "; convert it to JSON lines (.jsonl), or pipe the text in and give \"-\""));
  EXPECT_EQ(error("f/b.md"), text(at("f/b.md"), ": the name does not end in ", kReadNames,
                                  "; rename the file, or pipe the text in and give \"-\""));
  EXPECT_EQ(error_of([&] { list({"-", "-"}); }), "--input - is given twice; give it once");
}

}  // namespace
}  // namespace gptmoe
