#pragma once
// Reads whole inputs with a DocumentReader and collects everything that it gives.
#include <algorithm>
#include <optional>
#include <random>

#include "corpus/documents.h"
#include "corpus/input_helpers.h"

namespace gptmoe {

using Texts = std::vector<std::string>;

// What an input gives: documents joined from their pieces, the messages about skipped lines and files, and the error
// that ended the reading, if any.
struct Reading {
  Texts documents, errors;
  std::string error;
  std::vector<InputPosition> ends;  // of every batch
  // The number of documents that have begun by the end of each batch, and the number of pieces of each document.
  std::vector<size_t> documents_at, pieces;
  std::vector<std::optional<uint64_t>> hashes;
};

// Reads to the end. `within`: the reader starts inside a document.
inline void read_on(DocumentReader& reader, Reading& out, bool within = false) {
  DocumentParser parser(reader.input());
  int64_t progress = reader.bytes_read();
  try {
    while (const auto batch = reader.next()) {
      EXPECT_TRUE(batch->bytes.empty() || batch->bytes.capacity() >= batch->bytes.size() + kTextPadding);
      EXPECT_GE(reader.bytes_read(), progress);
      progress = reader.bytes_read();
      parser.parse(
          *batch,
          [&](const DocumentPiece& piece) {
            EXPECT_FALSE(piece.text.empty());
            EXPECT_EQ(piece.begins, !within);
            if (piece.begins || out.documents.empty()) {
              out.documents.emplace_back();
              out.pieces.push_back(0);
              out.hashes.push_back(piece.hash);
            }
            EXPECT_EQ(piece.hash, out.hashes.back());
            out.documents.back() += piece.text;
            ++out.pieces.back();
            within = !piece.ends;
          },
          out.errors);
      out.errors.insert(out.errors.end(), batch->errors.begin(), batch->errors.end());
      out.ends.push_back(batch->end);
      out.documents_at.push_back(out.documents.size());
    }
    EXPECT_FALSE(within);
    EXPECT_FALSE(reader.next()) << "after the end there is never another batch";
  } catch (const UserError& error) {
    out.error = error.what();
    EXPECT_EQ(out.error.find('\n'), std::string::npos) << out.error;
  }
}

struct DocumentsTest : InputTest {
  Reading read(TextInput input, int64_t batch_bytes = 1 << 20) {
    DocumentReader reader(std::move(input), batch_bytes);
    if (hashes) reader.hash_long_documents();
    reader.allow_bytes(allowed);
    Reading out;
    read_on(reader, out);
    EXPECT_TRUE(!out.error.empty() || reader.bytes_read() == reader.bytes_total());
    return out;
  }
  Reading read(const std::string& path, int64_t batch_bytes = 1 << 20) {
    return read(TextInput{.paths = {path}}, batch_bytes);
  }

  std::string at(const std::string& name) const { return (folder / name).string(); }
  bool hashes = false;
  std::bitset<256> allowed = ~std::bitset<256>();
};

inline std::string lines_of(const Texts& texts) {
  std::string lines;
  for (const std::string& text : texts) lines += "{\"text\": \"" + text + "\"}\n";
  return lines;
}

inline Texts some_texts(int count, size_t longest) {
  Texts texts;
  std::mt19937 random(5);
  for (int i = 0; i < count; ++i) {
    texts.push_back(random_text(1 + random() % longest, static_cast<unsigned>(i)));
    std::replace(texts.back().begin(), texts.back().end(), '\n', ' ');
  }
  return texts;
}

}  // namespace gptmoe
