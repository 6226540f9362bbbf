#pragma once
// The header of NumPy's .npy files: the magic \x93NUMPY, a version, and a Python dictionary that gives type and shape.
#include <cstdint>
#include <optional>

#include "base/file.h"
#include "corpus/id_type.h"

namespace gptmoe {

struct NpyHeader {
  const IdType* type;
  int64_t ids;    // elements of the array
  int64_t bytes;  // of the header: the first id follows it
};

// The header of the file; nullopt if the file does not begin with the magic. Throws UserError naming file, byte and
// remedy if the header is damaged, or if the array does not have exactly one dimension, or holds anything but
// little-endian integers.
std::optional<NpyHeader> read_npy_header(const FileReader& file);

}  // namespace gptmoe
