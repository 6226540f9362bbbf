#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "support/error_message.h"
#include "support/file_size_limit.h"
#include "support/open_file_limit.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

int64_t entries(const fs::path& folder) { return std::distance(fs::directory_iterator(folder), {}); }

TEST(FileReader, ReadsTheBytes) {
  TemporaryFolder folder;
  const std::string content("one\0two\n", 8);
  write_text_file(folder / "a", content);
  FileReader file(folder / "a");
  EXPECT_EQ(file.size(), 8);
  EXPECT_EQ(file.content(), content);
  EXPECT_EQ(file.path(), folder / "a");
  const FileReader moved = std::move(file);
  EXPECT_EQ(moved.content(), content);
  std::string part(3, '\0');
  moved.read(part.data(), 3, 4);
  EXPECT_EQ(part, "two");
  EXPECT_THROW(moved.read(part.data(), 3, 6), BugError);
}

TEST(FileReader, EmptyFileHasNoBytes) {
  TemporaryFolder folder;
  write_text_file(folder / "empty", "");
  EXPECT_EQ(FileReader(folder / "empty").size(), 0);
  EXPECT_EQ(read_text_file(folder / "empty"), "");
}

TEST(FileReader, ErrorsNameThePath) {
  TemporaryFolder folder;
  EXPECT_EQ(message<UserError>([&] { FileReader file(folder / "none"); }),
            (folder / "none").string() + ": cannot open: No such file or directory");
  EXPECT_EQ(message<UserError>([&] { FileReader file(folder.path()); }),
            folder.path().string() + ": not a regular file");
}

// Opening a FIFO for reading waits until somebody writes to it.
TEST(FileReader, AFifoIsRefusedAtOnce) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  alarm(20);  // ends the test if a call waits for a writer
  const std::string refusal = (folder / "fifo").string() + ": not a regular file";
  EXPECT_EQ(message<UserError>([&] { FileReader file(folder / "fifo"); }), refusal);
  EXPECT_EQ(message<UserError>([&] { read_text_file(folder / "fifo"); }), refusal);
  alarm(0);
}

TEST(FileReader, AFileThatIsCutWhileItIsOpenIsAnError) {
  TemporaryFolder folder;
  write_text_file(folder / "a", std::string(10000, 'x'));
  const FileReader file(folder / "a");
  fs::resize_file(folder / "a", 5000);
  EXPECT_EQ(message<UserError>([&] { file.content(); }),
            (folder / "a").string() +
                ": byte 5000: the file ends here, but it had 10000 bytes when it was opened; restore it, and do not "
                "change it while it is in use");
  char byte = 0;
  file.read(&byte, 1, 4999);
  EXPECT_EQ(byte, 'x') << "what is left can be read";
}

TEST(OpenFiles, TheLimitIsRaisedForEveryKindOfOpening) {
  TemporaryFolder folder;
  write_text_file(folder / "a", "x");
  const OpenFileLimit few(32);
  if (few.hard() < 200) GTEST_SKIP() << "the hard limit is " << few.hard();
  raise_open_file_limit();
  std::vector<FileReader> files;
  for (int i = 0; i < 64; ++i) files.emplace_back(folder / "a");
  EXPECT_EQ(read_text_file(folder / "a"), "x");
  write_text_file(folder / "b", "y");
  EXPECT_EQ(glob_files((folder / "*").string()).size(), 2u);
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);
  EXPECT_EQ(now.rlim_cur, few.hard());
}

TEST(FileTypeAt, OnlyWhatIsNotThereIsNotFound) {
  TemporaryFolder folder;
  write_text_file(folder / "file", "");
  fs::create_symlink("file", folder / "link");
  EXPECT_EQ(file_type_at(folder / "link"), fs::file_type::regular);
  EXPECT_EQ(file_type_at(folder.path()), fs::file_type::directory);
  EXPECT_EQ(file_type_at(folder / "none"), fs::file_type::not_found);
  EXPECT_EQ(file_type_at(folder / "none/below"), fs::file_type::not_found);
  EXPECT_EQ(file_type_at(folder / "file/below"), fs::file_type::not_found);

  fs::create_symlink("loop", folder / "loop");
  for (const char* name : {"loop", "loop/below"})
    EXPECT_EQ(message<UserError>([&] { file_type_at(folder / name); }),
              (folder / name).string() + ": cannot access it: Too many levels of symbolic links");
  fs::create_symlink("gone", folder / "lost");
  EXPECT_EQ(message<UserError>([&] { file_type_at(folder / "lost"); }),
            (folder / "lost").string() + ": cannot access it: it is a link to gone, which does not exist");
}

TEST(RequireStillThere, NoticesWhatHappensToTheFileOrItsFolder) {
  TemporaryFolder folder;
  fs::create_directory(folder / "run");
  const fs::path path = folder / "run/log";
  const auto gone = [&](const auto& change) {
    write_text_file(path, "x");
    const int fd = open(path.c_str(), O_RDONLY);
    require_still_there(fd, path);
    change();
    EXPECT_EQ(message<Failure>([&] { require_still_there(fd, path); }),
              path.string() + ": was removed, moved or replaced while it was being written");
    close(fd);
  };
  gone([&] { fs::remove(path); });
  gone([&] { write_text_file(path, "another"); });
  gone([&] { fs::rename(folder / "run", folder / "moved"); });
}

TEST(AtomicFile, CommitReplaces) {
  TemporaryFolder folder;
  write_text_file(folder / "a", "a longer old content");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    EXPECT_EQ(read_text_file(folder / "a"), "a longer old content");
    file.commit();
  }
  EXPECT_EQ(read_text_file(folder / "a"), "new");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, WithoutCommitTheOldFileStays) {
  TemporaryFolder folder;
  write_text_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write(std::string(3 << 20, 'x'));
    EXPECT_EQ(entries(folder.path()), 2);
  }
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, SmallAndLargeWritesKeepTheirOrder) {
  TemporaryFolder folder;
  std::string expected;
  AtomicFile file(folder / "a");
  for (int i = 0; i < 40; ++i) {
    // Pieces that are smaller and larger than the buffer of one megabyte.
    const std::string piece(static_cast<size_t>(1 + i % 4 * 400000), static_cast<char>('a' + i % 26));
    file.write(piece);
    expected += piece;
  }
  file.commit();
  EXPECT_TRUE(read_text_file(folder / "a") == expected);
}

TEST(AtomicFile, ErrorsOnCreationNameThePath) {
  TemporaryFolder folder;
  const fs::path path = folder / "none/a";
  EXPECT_EQ(message<Failure>([&] { AtomicFile file(path); }),
            path.string() + ": cannot create: No such file or directory");
}

TEST(AtomicFile, CannotRenameOverAFolder) {
  TemporaryFolder folder;
  fs::create_directory(folder / "a");
  EXPECT_EQ(message<Failure>([&] { write_text_file(folder / "a", "text"); }),
            (folder / "a").string() + ": cannot rename into place: Is a directory");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, AFullDiskIsAFailureAndTheOldFileStays) {
  TemporaryFolder folder;
  write_text_file(folder / "a", "old");
  std::string why;
  {
    const FileSizeLimit limit(1 << 16);
    why = message<Failure>([&] { write_text_file(folder / "a", std::string(3 << 20, 'x')); });
  }
  EXPECT_EQ(why, (folder / "a").string() + ": cannot write: File too large");
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(GlobFiles, SortsByNameAndTakesPlainPaths) {
  TemporaryFolder folder;
  for (const char* name : {"train_2.bin", "train_0.bin", "train_1.bin", "val_0.bin"})
    write_text_file(folder / name, "");
  EXPECT_EQ(glob_files((folder / "train_*.bin").string()),
            (std::vector<fs::path>{folder / "train_0.bin", folder / "train_1.bin", folder / "train_2.bin"}));
  EXPECT_EQ(glob_files((folder / "val_0.bin").string()), (std::vector<fs::path>{folder / "val_0.bin"}));
  EXPECT_TRUE(glob_files((folder / "none_*.bin").string()).empty());
}

TEST(GlobFiles, HiddenFilesOnlyByADot) {
  TemporaryFolder folder;
  fs::create_directory(folder / "a");
  fs::create_directory(folder / ".cache");
  for (const char* name : {"a/1.bin", "a/._1.bin", ".cache/1.bin"}) write_text_file(folder / name, "");
  EXPECT_EQ(glob_files((folder / "*/*.bin").string()), (std::vector<fs::path>{folder / "a/1.bin"}));
  EXPECT_EQ(glob_files((folder / ".cache/*.bin").string()), (std::vector<fs::path>{folder / ".cache/1.bin"}));
}

TEST(GlobFiles, AFileOfThatNameWinsOverThePattern) {
  TemporaryFolder folder;
  write_text_file(folder / "train_1.bin", "");
  EXPECT_EQ(glob_files((folder / "train_[1].bin").string()), (std::vector<fs::path>{folder / "train_1.bin"}));
  write_text_file(folder / "train_[1].bin", "");
  EXPECT_EQ(glob_files((folder / "train_[1].bin").string()), (std::vector<fs::path>{folder / "train_[1].bin"}));
}

TEST(GlobFiles, WhereTheSystemCannotLookIsNotWithoutMatches) {
  TemporaryFolder folder;
  write_text_file(folder / "a.bin", "");
  fs::create_symlink("loop", folder / "loop");
  const std::string below_loop = (folder / "loop/*.bin").string(), pattern = (folder / "*.bin").string();
  EXPECT_EQ(message<UserError>([&] { glob_files(below_loop); }),
            below_loop + ": cannot access it: Too many levels of symbolic links");
  EXPECT_TRUE(glob_files((folder / "none/*.bin").string()).empty());
  EXPECT_TRUE(glob_files((folder / "a.bin/*.bin").string()).empty());
  EXPECT_EQ(glob_files((folder / "[l]oop").string()).size(), 1u) << "the link itself is there";
  std::string why;
  {
    const OpenFileLimit none(0);
    why = message<UserError>([&] { glob_files(pattern); });
  }
  EXPECT_EQ(why.find(pattern + ": cannot read the folder " + folder.path().string()), 0u) << why;
  EXPECT_NE(why.find(": Too many open files"), std::string::npos) << why;
  EXPECT_EQ(glob_files(pattern).size(), 1u);
}

TEST(GlobFiles, APatternMayBeLongerThanAName) {
  TemporaryFolder folder;
  write_text_file(folder / std::string(100, '1'), "");
  std::string pattern = folder.path().string() + "/";
  for (int i = 0; i < 100; ++i) pattern += "[0-9]";
  EXPECT_EQ(glob_files(pattern).size(), 1u);
}

}  // namespace
}  // namespace gptmoe
