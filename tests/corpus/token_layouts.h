#pragma once
// Writes token ids in the layouts of other programs.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace gptmoe {

// The values as little-endian integers of the type T.
template <typename T, typename Values>
std::string bytes_of(const Values& values) {
  std::string bytes;
  for (auto value : values) {
    const auto stored = static_cast<T>(value);
    bytes.append(reinterpret_cast<const char*>(&stored), sizeof stored);
  }
  return bytes;
}

// A Megatron index, by its fields.
struct MegatronFields {
  std::string magic{"MMIDIDX\0\0", 9};
  uint64_t version = 1;
  uint8_t code = 8;
  std::vector<int32_t> lengths = {};
  std::vector<int64_t> pointers = {}, bounds = {0};

  // Appends a document of one sequence.
  void add(int64_t ids, int64_t item) {
    pointers.push_back(pointers.empty() ? 0 : pointers.back() + lengths.back() * item);
    lengths.push_back(static_cast<int32_t>(ids));
    bounds.push_back(static_cast<int64_t>(lengths.size()));
  }
  std::string bytes() const {
    return magic + bytes_of<uint64_t>(std::vector{version}) + static_cast<char>(code) +
           bytes_of<uint64_t>(std::vector{lengths.size(), bounds.size()}) + bytes_of<int32_t>(lengths) +
           bytes_of<int64_t>(pointers) + bytes_of<int64_t>(bounds);
  }
};

// PREFIX.bin and PREFIX.idx with one sequence per document.
template <typename T>
void write_megatron(const std::filesystem::path& prefix, uint8_t code,
                    const std::vector<std::vector<int32_t>>& documents) {
  MegatronFields index;
  index.code = code;
  std::string ids;
  for (const auto& document : documents) {
    ids += bytes_of<T>(document);
    index.add(std::ssize(document), sizeof(T));
  }
  write_text_file(prefix.string() + ".bin", ids);
  write_text_file(prefix.string() + ".idx", index.bytes());
}

// A NumPy file: the header as numpy.save writes it, then `data`.
inline std::string npy(const std::string& descr, const std::string& shape, const std::string& data, char version = 1) {
  const size_t lead = version == 1 ? 10 : 12;
  std::string header = "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize((lead + header.size() + 64) / 64 * 64 - lead - 1, ' ');
  header += '\n';
  std::string start = std::string("\x93NUMPY") + version + '\0';
  start +=
      version == 1 ? bytes_of<uint16_t>(std::vector{header.size()}) : bytes_of<uint32_t>(std::vector{header.size()});
  return start + header + data;
}

}  // namespace gptmoe
