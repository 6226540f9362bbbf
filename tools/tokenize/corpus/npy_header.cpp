#include "corpus/npy_header.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kShown = 60;            // characters of a value in a message
constexpr int64_t kMaxHeader = 1 << 20;  // a one-dimensional array of integers needs 128 bytes

// What follows 'KEY': in the dictionary, without the spaces before it; empty if the key is not there.
std::string_view value_of(std::string_view dictionary, std::string_view key) {
  const size_t at = dictionary.find(text("'", key, "':"));
  if (at == std::string_view::npos) return {};
  dictionary.remove_prefix(at + key.size() + 3);
  dictionary.remove_prefix(std::min(dictionary.find_first_not_of(' '), dictionary.size()));
  return dictionary;
}

// "<u2", "|u1" as NumPy writes them.
const IdType* type_of(std::string_view descr) {
  if (descr.size() != 5 || (descr[1] != '<' && descr[1] != '|') || (descr[2] != 'u' && descr[2] != 'i')) return nullptr;
  for (const IdType& type : kIdTypes)
    if (type.has_sign == (descr[2] == 'i') && type.bytes == descr[3] - '0' && (descr[1] == '<' || type.bytes == 1))
      return &type;
  return nullptr;
}

// "(1234,)".
std::optional<int64_t> single_dimension(std::string_view shape) {
  int64_t size = 0;
  const char* end = shape.data() + shape.size();
  const auto [rest, error] = std::from_chars(shape.data() + 1, end, size);
  if (error != std::errc() || size < 0 || std::string_view(rest, end) != ",)") return std::nullopt;
  return size;
}

}  // namespace

std::optional<NpyHeader> read_npy_header(const FileReader& file) {
  char start[12] = {};
  file.read(start, std::min<int64_t>(file.size(), sizeof start), 0);
  if (!std::string_view(start, sizeof start).starts_with(kMagic)) return std::nullopt;
  const std::string path = file.path().string();
  const int version = start[6];
  if (version < 1 || version > 3)
    user_error(path, ": byte 6: version ", version, " of NumPy's format is not supported, only 1 to 3; save the array ",
               "again with numpy.save");
  const int64_t first = version == 1 ? 10 : 12;
  uint32_t length = 0;
  std::memcpy(&length, start + 8, version == 1 ? 2 : 4);
  if (file.size() < first + length || length > kMaxHeader)
    user_error(path, ": byte 8: the NumPy header takes ", length, " bytes, but the file has ", file.size(),
               "; copy or save the array again");
  std::string dictionary(length, '\0');
  file.read(dictionary.data(), length, first);
  const auto unprintable = [](unsigned char c) { return c < 32 || c > 126; };  // messages repeat parts of it
  std::replace_if(dictionary.begin(), dictionary.end(), unprintable, '?');
  const auto damaged = [&](const char* what) {
    user_error(path, ": byte ", first, ": the NumPy header has no ", what, "; save the array again with numpy.save");
  };
  std::string_view descr = value_of(dictionary, "descr"), shape = value_of(dictionary, "shape");
  if (descr.empty()) damaged("'descr'");
  if (!shape.starts_with('(') || shape.find(')') == std::string_view::npos) damaged("'shape'");
  descr = descr.substr(0, descr.find(','));
  shape = shape.substr(0, shape.find(')') + 1);
  NpyHeader header{type_of(descr), 0, first + length};
  if (!header.type)
    user_error(path, ": byte ", first, ": the NumPy array holds ", descr.substr(0, kShown),
               ", but ids are little-endian integers such as ",
               "'<u2' or '<i4'; convert it with astype and save it again");
  const auto ids = single_dimension(shape);
  if (!ids)
    user_error(path, ": byte ", first, ": the NumPy array has the shape ", shape.substr(0, kShown),
               ", but ids come in one dimension; flatten it with reshape(-1) and save it again");
  header.ids = *ids;
  return header;
}

}  // namespace gptmoe
