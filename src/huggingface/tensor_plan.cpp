#include "huggingface/tensor_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/bf16.h"
#include "base/check.h"

namespace gptmoe {
namespace {

int64_t count_of(const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

// The position of a kind of rows (query, key, value) within the rows of a head: 0, 1 or 2.
size_t row_kind(Change change) { return static_cast<size_t>(change) - static_cast<size_t>(Change::query_rows); }

class Planner {
 public:
  Planner(const Family& family, const ModelConfig& model, DType dtype)
      : family_(family), model_(model), dtype_(dtype) {}

  void add(const SafetensorsFile::Entry& entry) {
    for (const TensorName& name : family_.tensors) {
      const std::optional<std::string> theirs = renamed(name.ours, name.theirs, entry.name);
      if (!theirs) continue;
      if (!theirs->empty()) place(*theirs, name.change, entry);
      return;
    }
    GPTMOE_CHECK(false, entry.name, " has no name in ", family_.architecture);
  }

  std::vector<PlannedTensor> take() {
    if (family_.zeros)
      for (const ZeroTensor& zero : family_.zeros(model_))
        tensors_.push_back({zero.theirs, zero.sizes, dtype_, {{"", 0, count_of(zero.sizes)}}});
    return std::move(tensors_);
  }

 private:
  void place(const std::string& theirs, Change change, const SafetensorsFile::Entry& entry) {
    if (change >= Change::query_rows) return place_rows(theirs, change, entry);
    const float factor = change == Change::doubled ? 2 : 1;
    tensors_.push_back({theirs, entry.sizes, dtype_of(entry), {{entry.name, 0, count_of(entry.sizes), factor}}});
  }

  void place_rows(const std::string& theirs, Change change, const SafetensorsFile::Entry& entry) {
    const auto heads = static_cast<size_t>(model_.num_attention_heads);
    const auto [slot, is_new] = fused_.emplace(theirs, tensors_.size());
    if (is_new) {
      std::vector<int64_t> sizes = entry.sizes;
      sizes[0] *= 3;
      tensors_.push_back({theirs, sizes, dtype_of(entry), std::vector<TensorPiece>(3 * heads)});
    }
    const int64_t count = count_of(entry.sizes) / model_.num_attention_heads;  // of one head
    for (size_t head = 0; head < heads; ++head)
      tensors_[slot->second].pieces[3 * head + row_kind(change)] = {entry.name, static_cast<int64_t>(head) * count,
                                                                    count};
  }

  DType dtype_of(const SafetensorsFile::Entry& entry) const {
    const bool routes = entry.name.ends_with(".mlp.gate.weight") ||
                        entry.name.ends_with(".mlp.gate.e_score_correction_bias") ||
                        entry.name.ends_with(".mlp.gate.thresholds") || entry.name.ends_with(".mlp.default_vectors");
    return routes && &family_ == &custom_family() ? DType::f32 : dtype_;
  }

  const Family& family_;
  const ModelConfig& model_;
  DType dtype_;
  std::vector<PlannedTensor> tensors_;
  std::map<std::string, size_t> fused_;
};

// Plans our tensor `ours`, whose values are in the folder's tensor `name` after `change`.
PlannedTensor planned_import(const std::string& ours, Change change, const std::string& name, const ModelConfig& model,
                             const WeightFiles& files) {
  std::vector<int64_t> sizes = files.sizes(name);
  if (change < Change::query_rows)
    return {ours, sizes, DType::f32, {{name, 0, count_of(sizes), change == Change::doubled ? 0.5f : 1.0f}}};
  const int64_t heads = model.num_attention_heads;
  if (sizes.empty() || sizes[0] % (3 * heads) != 0)
    files.fail(name, text("does not divide into queries, keys and values of num_attention_heads ", heads));
  sizes[0] /= 3;
  PlannedTensor tensor{ours, sizes, DType::f32, {}};
  const int64_t count = count_of(sizes) / heads;  // of one head
  for (int64_t head = 0; head < heads; ++head)
    tensor.pieces.push_back({name, (3 * head + static_cast<int64_t>(row_kind(change))) * count, count});
  return tensor;
}

template <typename Files>
void read_floats(const Files& from, const TensorPiece& piece, int64_t first, std::vector<float>& out) {
  if (piece.tensor.empty()) return std::fill(out.begin(), out.end(), 0.0f);
  const auto count = static_cast<int64_t>(out.size());
  from.read_part(piece.tensor, piece.first + first, Tensor(out.data(), DType::f32, {count}));
  if (piece.factor != 1)
    for (float& value : out) value *= piece.factor;
  if (!std::all_of(out.begin(), out.end(), [](float value) { return std::isfinite(value); }))
    from.fail(piece.tensor, "has elements that are infinite or not a number");
}

constexpr int64_t kPartCount = 1 << 20;  // elements in memory at a time

}  // namespace

int64_t PlannedTensor::bytes() const { return count_of(sizes) * dtype_bytes(dtype); }

std::vector<PlannedTensor> plan_tensors(const Family& family, const ModelConfig& model, const SafetensorsFile& file,
                                        DType dtype) {
  Planner planner(family, model, dtype);
  for (const SafetensorsFile::Entry& entry : file.entries()) planner.add(entry);
  return planner.take();
}

std::vector<std::vector<PlannedTensor>> cut_into_shards(const std::vector<PlannedTensor>& tensors,
                                                        int64_t shard_bytes) {
  std::vector<std::vector<PlannedTensor>> shards(1);
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) {
    if (!shards.back().empty() && bytes + tensor.bytes() > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += tensor.bytes();
  }
  return shards;
}

ImportPlan plan_import(const Family& family, const ModelConfig& model, const WeightFiles& files) {
  ImportPlan plan;
  std::set<std::string> zeros;
  if (family.zeros)
    for (const ZeroTensor& zero : family.zeros(model)) zeros.insert(zero.theirs);
  for (const std::string& name : files.names()) {
    if (zeros.contains(name)) {
      plan.zeros.push_back(name);
      continue;
    }
    bool known = false;
    for (const TensorName& rule : family.tensors) {
      if (rule.theirs.empty()) continue;
      const std::optional<std::string> ours = renamed(rule.theirs, rule.ours, name);
      if (!ours) continue;
      plan.tensors[*ours] = planned_import(*ours, rule.change, name, model, files);
      known = true;
    }
    if (!known) plan.unknown.push_back(name);
  }
  return plan;
}

void read_planned(const PlannedTensor& tensor, const WeightFiles& from, int64_t first, const Tensor& out,
                  Memory& memory) {
  const Tensor flat = out.view({out.count()});
  std::vector<float> part;
  int64_t begin = 0;  // of the piece, in the tensor
  for (const TensorPiece& piece : tensor.pieces) {
    const int64_t end = std::min(begin + piece.count, first + flat.count());
    for (int64_t at = std::max(begin, first); at < end; at += std::ssize(part)) {
      part.resize(static_cast<size_t>(std::min(kPartCount, end - at)));
      read_floats(from, piece, at - begin, part);
      upload_floats(memory, flat.rows(at - first, std::ssize(part)), part.data());
    }
    begin += piece.count;
  }
}

template <typename Files>
TensorSource source_of(const PlannedTensor& tensor, const Files& from, const WriteProgress& progress) {
  return {tensor.name, tensor.dtype, tensor.sizes, [&tensor, &from, &progress](const TensorSource::Take& take) {
            std::vector<float> part;
            std::vector<uint16_t> rounded;
            for (const TensorPiece& piece : tensor.pieces)
              for (int64_t first = 0; first < piece.count; first += kPartCount) {
                part.resize(static_cast<size_t>(std::min(kPartCount, piece.count - first)));
                read_floats(from, piece, first, part);
                const int64_t bytes = std::ssize(part) * dtype_bytes(tensor.dtype);
                if (tensor.dtype == DType::bf16) {
                  rounded.resize(part.size());
                  std::transform(part.begin(), part.end(), rounded.begin(), bf16_bits);
                  take(rounded.data(), bytes);
                } else {
                  take(part.data(), bytes);
                }
                progress(bytes);
              }
          }};
}
template TensorSource source_of(const PlannedTensor&, const SafetensorsFile&, const WriteProgress&);
template TensorSource source_of(const PlannedTensor&, const WeightFiles&, const WriteProgress&);

}  // namespace gptmoe
