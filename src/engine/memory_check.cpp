#include "engine/memory_check.h"

#include <algorithm>

#include "base/progress.h"
#include "config/validate.h"
#include "engine/config_for_rank.h"
#include "engine/cuda_shapes.h"
#include "engine/describe.h"
#include "kernels/cuda_limits.h"

namespace gptmoe {
namespace {

Config with_recompute(Config config, const std::string& recompute) {
  config.train.recompute = recompute;
  return config;
}

bool training_fits(Config config, int64_t micro_batch, const Ops& ops, int64_t room, RankOf rank) {
  config.train.micro_batch_size = micro_batch;
  try {
    validate(config, "");  // a size that overflows does not fit either
    if (ops.workspace_bytes() > 0) require_cuda_shapes(config, cuda::kMaxHeadDim);  // only GPUs have a workspace
  } catch (const UserError&) {
    return false;
  }
  return Engine(config, Purpose::train, micro_batch, config.train.sequence_length, ops, rank).total_bytes() <= room;
}

std::string what_would_fit(const Config& config, const Ops& ops, int64_t room, RankOf rank) {
  const int64_t micro_batch = config.train.micro_batch_size, largest = largest_micro_batch(config, ops, room, rank);
  const Config block = with_recompute(config, "block");
  const bool recomputes = config.train.recompute == "block";
  const int64_t largest_with_block = recomputes ? largest : largest_micro_batch(block, ops, room, rank);
  std::string out = text("that divides train.global_batch_size ", config.train.global_batch_size,
                         rank.size > 1 ? text(" / ", rank.size, " ranks") : "", " and fits is ");
  if (largest > 0)
    out = text("the largest ", out, largest);
  else if (largest_with_block > 0)
    out = text("no micro-batch size fits without train.recompute \"block\"; with it, the largest ", out,
               largest_with_block);
  else
    out = "no micro-batch size fits; lower train.sequence_length or the model's sizes";
  if (!recomputes && training_fits(block, micro_batch, ops, room, rank))
    out += text("; train.recompute \"block\" makes ", micro_batch, " fit");
  return out;
}

}  // namespace

int64_t room_in(const Memory& memory, const Ops& ops, int sharers) {
  const int64_t available = memory.available();
  return available < 0 ? -1 : available / (memory.on_host() ? sharers : 1) + ops.workspace_bytes();
}

int64_t largest_micro_batch(const Config& config, const Ops& ops, int64_t room, RankOf rank) {
  const int64_t sequences = config.train.global_batch_size / rank.size;
  std::vector<int64_t> sizes;
  for (int64_t d = 1; d <= sequences / d; ++d)
    if (sequences % d == 0) sizes.insert(sizes.end(), {d, sequences / d});
  std::sort(sizes.begin(), sizes.end());
  const auto first_too_large = std::partition_point(sizes.begin(), sizes.end(), [&](int64_t micro_batch) {
    return training_fits(config, micro_batch, ops, room, rank);
  });
  return first_too_large == sizes.begin() ? 0 : *std::prev(first_too_large);
}

int64_t choose_micro_batch(const Config& config, const Ops& ops, int64_t room, RankOf rank) {
  constexpr const char* kPath = "train.micro_batch_size: \"auto\", but ";
  sequences_per_rank(config, rank.size);
  if (room < 0) user_error(kPath, "the system does not say how much memory is free; give a number");
  const auto usable = static_cast<int64_t>(kAutoShare * static_cast<double>(room));
  if (const int64_t largest = largest_micro_batch(config, ops, usable, rank); largest > 0) return largest;
  const int64_t with_block = largest_micro_batch(with_recompute(config, "block"), ops, usable, rank);
  user_error(kPath, "even 1 does not fit into ", binary_bytes(usable), ", which is ", 100 * kAutoShare,
             "% of the free memory; ",
             with_block > 0 ? text("with train.recompute \"block\" ", with_block, " fits")
                            : std::string("lower train.sequence_length or the model's sizes, or free some memory"));
}

std::string why_no_room(const Config& config, const Engine& engine, const Ops& ops, int64_t room) {
  if (room < 0 || engine.total_bytes() <= room) return "";
  const std::string need =
      text(binary_bytes(engine.total_bytes()), " of memory, but ", binary_bytes(room), " is available; ");
  if (engine.purpose() != Purpose::train)
    return text("the model needs ", need, "free some, or use a machine with more");
  return text("train.micro_batch_size: ", config.train.micro_batch_size, " needs ", need,
              what_would_fit(config, ops, room, engine.rank()));
}

void require_room(const Config& config, const Engine& engine, const Ops& ops, const Memory& memory, int sharers) {
  const std::string why = why_no_room(config, engine, ops, room_in(memory, ops, sharers));
  if (!why.empty()) user_error(why, "\n", memory_table(engine));
}

}  // namespace gptmoe
