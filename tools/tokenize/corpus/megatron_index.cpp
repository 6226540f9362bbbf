#include "corpus/megatron_index.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

constexpr char kMagic[9] = "MMIDIDX\0";
constexpr int64_t kHeaderBytes = 34;
constexpr int64_t kBlock = 8192;
constexpr std::array<std::string_view, 9> kTypeNames = {"",      "uint8",   "int8",    "int16", "int32",
                                                        "int64", "float64", "float32", "uint16"};

template <typename T>
T value_at(const char* header, size_t byte) {
  T value;
  std::memcpy(&value, header + byte, sizeof value);
  return value;
}

}  // namespace

template <typename T>
T MegatronIndex::Column<T>::at(const FileReader& file, int64_t i) {
  GPTMOE_CHECK(i >= 0 && i < size);
  if (i < block_begin || i >= block_begin + std::ssize(block)) {
    block_begin = i;
    block.resize(static_cast<size_t>(std::min(kBlock, size - i)));
    file.read(block.data(), std::ssize(block) * static_cast<int64_t>(sizeof(T)), byte_of(i));
  }
  return block[static_cast<size_t>(i - block_begin)];
}

void MegatronIndex::refuse(int64_t byte, const std::string& what) const {
  user_error(path().string(), ": byte ", byte, ": ", what, "; copy the index again, or write it again with Megatron");
}

int64_t MegatronIndex::bound(int64_t i) {
  const int64_t value = bounds_.at(file_, i);
  if (value < 0 || value > lengths_.size)
    refuse(bounds_.byte_of(i), text("a document is bounded by sequence ", value, ", but the index has ",
                                    plural(lengths_.size, "sequence")));
  return value;
}

MegatronIndex::MegatronIndex(const std::filesystem::path& path) : file_(path) {
  char header[kHeaderBytes] = {};
  file_.read(header, std::min(file_.size(), kHeaderBytes), 0);
  if (std::memcmp(header, kMagic, sizeof kMagic) != 0) refuse(0, "not a Megatron index, which begins with MMIDIDX");
  if (file_.size() < kHeaderBytes)
    refuse(file_.size(), text("truncated: an index has ", kHeaderBytes, " bytes of header"));
  if (const auto version = value_at<uint64_t>(header, 9); version != 1)
    refuse(9, text("version ", version, " of the index is not supported, only 1"));
  const auto code = value_at<uint8_t>(header, 17);
  const std::string_view type = code < kTypeNames.size() ? kTypeNames[code] : "";
  type_ = id_type_named(type);
  if (!type_)
    refuse(17, text("type ", int{code}, type.empty() ? "" : text(" (", type, ")"), " of the .bin cannot hold ids"));

  const auto sequences = value_at<uint64_t>(header, 18), bounds = value_at<uint64_t>(header, 26);
  const auto bytes = static_cast<uint64_t>(file_.size());
  const bool plausible = sequences <= bytes && bounds <= bytes;  // so that the sizes do not overflow
  const uint64_t expected = plausible ? kHeaderBytes + 12 * sequences + 8 * bounds : UINT64_MAX;
  if (bytes != expected && bytes != expected + sequences)
    refuse(18, text("the header counts ", sequences, " sequences and ", bounds, " document bounds, which ",
                    plausible ? text("make ", plural(static_cast<int64_t>(expected), "byte")) : "is impossible",
                    ", but the file has ", plural(file_.size(), "byte")));
  if (bounds == 0) refuse(26, "the index has no document bounds");
  lengths_ = {kHeaderBytes, static_cast<int64_t>(sequences)};
  pointers_ = {lengths_.byte_of(lengths_.size), lengths_.size};
  bounds_ = {pointers_.byte_of(lengths_.size), static_cast<int64_t>(bounds)};
  if (bound(0) != 0) refuse(bounds_.byte_of(0), text("the first document begins at sequence ", bound(0), ", not at 0"));
  const int64_t last = bound(bounds_.size - 1);
  if (last != lengths_.size)
    refuse(bounds_.byte_of(bounds_.size - 1), text("the last document ends at sequence ", last, ", but the index has ",
                                                   plural(lengths_.size, "sequence")));
  if (lengths_.size == 0) return;
  if (const int64_t first = pointers_.at(file_, 0); first != 0)
    refuse(pointers_.byte_of(0), text("the first sequence begins at byte ", first, " of the .bin, not at 0"));
  const int64_t pointer = pointers_.at(file_, lengths_.size - 1), length = lengths_.at(file_, lengths_.size - 1);
  if (pointer < 0 || pointer > INT64_MAX / 2 || pointer % type_->bytes != 0 || length < 0)
    refuse(pointers_.byte_of(lengths_.size - 1),
           text("the last sequence, of ", length, " ids, begins at byte ", pointer));
  ids_ = pointer / type_->bytes + length;
}

void MegatronIndex::seek(int64_t document) {
  document_ = document;
  sequence_ = bound(document);
  end_ = ids_;
  if (sequence_ == lengths_.size) return;
  const int64_t pointer = pointers_.at(file_, sequence_);
  if (pointer < 0 || pointer > ids_ * type_->bytes)
    refuse(pointers_.byte_of(sequence_), text("sequence ", sequence_, " begins at byte ", pointer, " of the .bin, but ",
                                              "the index describes ", plural(ids_ * type_->bytes, "byte")));
  end_ = pointer / type_->bytes;
}

int64_t MegatronIndex::next_end() {
  const int64_t last = bound(document_ + 1);
  if (last < sequence_)
    refuse(bounds_.byte_of(document_ + 1),
           text("document ", document_, " ends at sequence ", last, ", before its beginning at sequence ", sequence_));
  for (; sequence_ < last; ++sequence_) {
    const int64_t pointer = pointers_.at(file_, sequence_), length = lengths_.at(file_, sequence_);
    if (pointer != end_ * type_->bytes)
      refuse(pointers_.byte_of(sequence_),
             text("sequence ", sequence_, " begins at byte ", pointer,
                  " of the .bin, but the sequence before it ends at byte ", end_ * type_->bytes));
    if (length < 0 || length > ids_ - end_)
      refuse(lengths_.byte_of(sequence_), text("sequence ", sequence_, " has ", plural(length, "id"),
                                               ", but the last sequence ", "leaves ", ids_ - end_, " for it"));
    end_ += length;
  }
  ++document_;
  return end_;
}

}  // namespace gptmoe
