// Lines and documents beyond their limits, and files that are damaged or unreadable.
#include "base/rng.h"
#include "corpus/documents_fixture.h"

namespace gptmoe {
namespace {

using DocumentsDamage = DocumentsTest;

TEST_F(DocumentsDamage, LinesThatAreTooLong) {
  const Texts texts{"one", std::string(100, 'x'), "two", std::string(101, 'x'), "three", std::string(5000, 'x')};
  const std::string lines = lines_of(texts), complaint =
                                                 ": longer than 112 bytes; raise --max-line-mib, or split the "
                                                 "document";  // 112 bytes: the line with 100 letters
  for (const std::string& path : {write("a.jsonl", lines), write("b.jsonl", lines.substr(0, lines.size() - 1)),
                                  write("c.jsonl.zst", zstd_of(lines))}) {
    for (const int64_t batch_bytes : {1, 30, 112, 113, 300, 1 << 20}) {
      TextInput input{.paths = {path, write("z.txt", "end")}, .max_line_bytes = 112};
      const Reading stopped = read(input, batch_bytes);
      EXPECT_EQ(stopped.documents, (Texts{"one", texts[1], "two"})) << path << " " << batch_bytes;
      EXPECT_EQ(stopped.error, path + ": line 4" + complaint);
      input.skip_errors = true;
      const Reading all = read(input, batch_bytes);
      EXPECT_EQ(all.documents, (Texts{"one", texts[1], "two", "three", "end"})) << path << " " << batch_bytes;
      EXPECT_EQ(all.errors, (Texts{path + ": line 4" + complaint, path + ": line 6" + complaint}));
      for (size_t i = 0; i < all.ends.size(); ++i) {
        DocumentReader reader(input, batch_bytes);
        reader.seek(all.ends[i]);
        Reading rest;
        read_on(reader, rest);
        EXPECT_EQ(rest.documents,
                  Texts(all.documents.begin() + static_cast<int64_t>(all.documents_at[i]), all.documents.end()));
      }
    }
  }
}

TEST_F(DocumentsDamage, TextThatCannotBeSplit) {
  const std::string path = write("a.txt", "some words " + std::string(200, 'x') + " more"), end = write("z.txt", "end");
  const std::string complaint =
      path +
      ": byte 10: no letter followed by a space, a newline, \u3002 or \uFF0C within 100 bytes, so the text cannot be "
      "split into pieces; raise --max-line-mib";
  TextInput input{.paths = {path, end}, .max_line_bytes = 100};
  for (const int64_t batch_bytes : {1, 20, 90}) {
    input.skip_errors = false;
    EXPECT_EQ(read(input, batch_bytes).error, complaint);
    input.skip_errors = true;
    const Reading all = read(input, batch_bytes);
    EXPECT_EQ(all.documents, (Texts{"some words " + std::string(99, 'x'), "end"})) << batch_bytes;
    EXPECT_EQ(all.errors, Texts{complaint});
  }
  input.max_line_bytes = 201;  // room for " xxx...x" up to the next space
  EXPECT_EQ(read(input, 20).errors, Texts{});
}

TEST_F(DocumentsDamage, TextInUtf16) {
  const std::string end = write("z.txt", "end");
  for (const std::string mark : {"\xFF\xFE", "\xFE\xFF"}) {
    const std::string content = mark + std::string("h\0i\0", 4);
    for (const std::string& path :
         {write("a.txt", content), write("a.jsonl", content), write("a.txt.gz", gzip_of(content))}) {
      TextInput input{.paths = {path, end}};
      const std::string complaint = path +
                                    ": byte 0: the byte order mark of UTF-16, which is not read; convert the file "
                                    "with iconv -f UTF-16 -t UTF-8";
      EXPECT_EQ(read(input, 1 << 20).error, complaint);
      input.skip_errors = true;
      const Reading all = read(input, 1 << 20);
      EXPECT_EQ(all.documents, Texts{"end"});
      EXPECT_EQ(all.errors, Texts{complaint});
    }
  }
}

TEST_F(DocumentsDamage, BytesThatTheTokenizerLacks) {
  const std::string good = random_text(9000), text = good + "\xFF " + random_text(9000), end = write("z.txt", "end");
  allowed[0xFF] = false;
  hashes = true;
  for (const std::string& path : {write("a.txt", text), write("b.txt.gz", gzip_of(text))}) {
    const std::string complaint =
        path +
        ": byte 9000: FF is never part of UTF-8, and this tokenizer has no token for it; convert the text to UTF-8";
    for (const int64_t batch_bytes : {1, 5000, 1 << 20}) {
      TextInput input{.paths = {path, end}};
      EXPECT_EQ(read(input, batch_bytes).error, complaint);
      input.skip_errors = true;
      const Reading all = read(input, batch_bytes);
      EXPECT_TRUE(all.documents == (Texts{good, "end"})) << path << " " << batch_bytes;
      EXPECT_EQ(all.errors, Texts{complaint});
      if (all.pieces[0] > 1) {
        EXPECT_EQ(all.hashes[0], hash_bytes(good));
      }
    }
  }
  allowed.set();
  EXPECT_TRUE(read(at("a.txt")).documents == Texts{text});
}

TEST_F(DocumentsDamage, FilesThatCannotBeRead) {
  const std::string gone = write("a.txt", "x"), end = write("z.txt", "end");
  const std::string complaint = gone + ": cannot open: No such file or directory; make it readable or correct --input";
  for (const bool skip : {false, true}) {
    write("a.txt", "x");
    DocumentReader reader({.paths = {gone, end}, .skip_errors = skip});
    std::filesystem::remove(gone);
    Reading out;
    read_on(reader, out);
    EXPECT_EQ(out.error, skip ? "" : complaint);
    EXPECT_EQ(out.errors, skip ? Texts{complaint} : Texts{});
    EXPECT_EQ(out.documents, skip ? Texts{"end"} : Texts{});
  }
}

TEST_F(DocumentsDamage, DamagedFilesGiveTheLinesBeforeTheDamage) {
  const Texts texts = some_texts(400, 2000);
  const std::string lines = lines_of(texts), text = random_text(400'000), end = write("z.txt", "end");
  const auto cut = [](const std::string& content) { return content.substr(0, content.size() / 2); };
  for (const std::string& path : {write("a.jsonl.gz", cut(gzip_of(lines))), write("b.jsonl.zst", cut(zstd_of(lines))),
                                  write("c.txt.gz", cut(gzip_of(text))), write("d.txt.zst", cut(zstd_of(text)))}) {
    const bool json_lines = path.find(".jsonl") != std::string::npos;
    for (const int64_t batch_bytes : {5000, 1 << 20}) {
      hashes = true;
      TextInput input{.paths = {path, end}};
      const Reading stopped = read(input, batch_bytes);
      EXPECT_NE(stopped.error.find(": the file ends in the middle of its "), std::string::npos) << stopped.error;
      input.skip_errors = true;
      const Reading all = read(input, batch_bytes);
      EXPECT_EQ(all.errors, Texts{stopped.error});
      ASSERT_GE(all.documents.size(), 2u);
      EXPECT_EQ(all.documents.back(), "end");
      if (json_lines) {
        EXPECT_GT(all.documents.size(), 100u);
        EXPECT_TRUE(std::equal(all.documents.begin(), all.documents.end() - 1, texts.begin()));
        EXPECT_EQ(stopped.documents, Texts(all.documents.begin(), all.documents.end() - 1));
      } else {
        EXPECT_GT(all.documents[0].size(), 100'000u);
        EXPECT_TRUE(text.starts_with(all.documents[0]));
        EXPECT_TRUE(!all.hashes[0] || *all.hashes[0] == hash_bytes(all.documents[0]));
      }
    }
  }
}

TEST_F(DocumentsDamage, DamageAfterALineThatIsTooLong) {
  const std::string lines = lines_of({"one", std::string(500, 'x')});
  std::string content = gzip_of(lines);
  content[content.size() - 8] ^= 1;  // the checksum
  const std::string path = write("a.jsonl.gz", content);
  for (const int64_t batch_bytes : {1, 1 << 20}) {
    const Reading all = read(TextInput{.paths = {path}, .max_line_bytes = 100, .skip_errors = true}, batch_bytes);
    EXPECT_EQ(all.documents, Texts{"one"});
    EXPECT_EQ(all.errors, (Texts{path + ": line 2: longer than 100 bytes; raise --max-line-mib, or split the document",
                                 text(path, ": byte ", content.size() - 4,
                                      ": damaged gzip data (incorrect data check); get the file again")}));
  }
}

// However a file is damaged, it gives documents or an error, and the result does not depend on the batch size.
TEST_F(DocumentsDamage, FilesDamagedAtRandom) {
  const std::string lines = lines_of(some_texts(20, 100));
  std::mt19937 random(11);
  for (const auto& [name, content] : {std::pair<std::string, std::string>{"a.jsonl", lines},
                                      {"a.jsonl.gz", gzip_of(lines)},
                                      {"a.jsonl.zst", zstd_of(lines)},
                                      {"a.txt.gz", gzip_of(lines)},
                                      {"a.txt.zst", zstd_of(lines)}}) {
    for (int trial = 0; trial < 100; ++trial) {
      std::string damaged = content;
      for (unsigned flips = random() % 3; flips > 0; --flips) damaged[random() % content.size()] ^= 1 << random() % 8;
      if (random() % 3 == 0) damaged.resize(random() % content.size());
      TextInput input{.paths = {write(name, damaged)}, .max_line_bytes = 200, .skip_errors = true};
      const Reading small = read(input, 1), large = read(input, 150);
      EXPECT_EQ(small.error, "");
      EXPECT_EQ(small.documents, large.documents) << name << " " << trial;
      EXPECT_EQ(small.errors, large.errors);
      input.skip_errors = false;
      const Reading strict = read(input, 50);
      EXPECT_EQ(strict.error, small.errors.empty() ? "" : small.errors[0]);
    }
  }
}

TEST_F(DocumentsDamage, AFileThatIsCutWhileItIsRead) {
  for (const char* name : {"a.txt", "a.jsonl"}) {
    const bool json_lines = name == std::string("a.jsonl");
    const std::string content = json_lines ? lines_of(some_texts(300, 700)) : random_text(100'000);
    for (const bool skip : {false, true}) {
      write(name, content);
      DocumentReader reader({.paths = {at(name)}, .skip_errors = skip}, 4096);
      ASSERT_TRUE(reader.next());
      std::filesystem::resize_file(at(name), 30'000);
      Reading out;
      read_on(reader, out, !json_lines);
      const std::string complaint =
          text(at(name), ": byte 30000: the file ends here, but it had ", content.size(),
               " bytes when the job began; restore it, and do not change it while it is read");
      EXPECT_EQ(out.error, skip ? "" : complaint);
      EXPECT_EQ(out.errors, skip ? Texts{complaint} : Texts{});
    }
  }
}

}  // namespace
}  // namespace gptmoe
