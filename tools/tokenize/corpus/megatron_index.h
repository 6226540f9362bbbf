#pragma once
// Megatron's index (.idx), which describes the .bin beside it. Little-endian:
//   bytes 0..8    MMIDIDX and two zero bytes
//   9..16         uint64, version: 1
//   17            uint8, type of the ids: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16 (6 and 7 are floats)
//   18..33        two uint64: number of sequences S, number of document bounds D
//   then          int32 (S) ids in each sequence
//                 int64 (S) the byte of the .bin where each sequence begins
//                 int64 (D) document bounds: document d consists of the sequences from bound d up to bound d + 1
//                 int8 (S), only in multimodal data: a mode per sequence, which is not read
// Sequences follow one another in the .bin, without gaps.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/file.h"
#include "corpus/id_type.h"

namespace gptmoe {

class MegatronIndex {
 public:
  // Throws UserError naming file, byte and remedy if the file is truncated, is not such an index, or holds no ids, and
  // if the document bounds do not cover the sequences.
  explicit MegatronIndex(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const IdType& type() const { return *type_; }
  int64_t documents() const { return bounds_.size - 1; }
  int64_t ids() const { return ids_; }  // in the .bin

  // Continues with document number `document`: the next call of next_end() gives its end.
  void seek(int64_t document);
  // The number of ids up to the end of the next document. There must be a next document. Throws UserError naming file
  // and byte if the index contradicts itself there.
  int64_t next_end();

 private:
  // An array in the file, read in blocks.
  template <typename T>
  struct Column {
    int64_t first = 0, size = 0;  // first: byte of the file
    int64_t block_begin = 0;
    std::vector<T> block = {};

    int64_t byte_of(int64_t i) const { return first + i * static_cast<int64_t>(sizeof(T)); }
    T at(const FileReader& file, int64_t i);
  };

  [[noreturn]] void refuse(int64_t byte, const std::string& what) const;
  int64_t bound(int64_t i);

  FileReader file_;
  const IdType* type_ = nullptr;
  Column<int32_t> lengths_;
  Column<int64_t> pointers_, bounds_;
  int64_t ids_ = 0;
  int64_t document_ = 0, sequence_ = 0, end_ = 0;  // how many next_end() has passed; end_ counts ids
};

}  // namespace gptmoe
