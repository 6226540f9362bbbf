#pragma once
// Whether a run fits into the memory of its device, checked before any memory is allocated.
#include "engine/engine.h"

namespace gptmoe {

// Bytes that an engine laid out by `ops` may use in total: what is available in `memory`, which must be that of `ops`,
// plus the workspace that `ops` already holds. -1 if unknown. `sharers` is the number of ranks that share the host's
// memory.
int64_t room_in(const Memory& memory, const Ops& ops, int sharers = 1);

// The largest train.micro_batch_size that divides a rank's share of train.global_batch_size and lets training fit into
// `room` bytes on this rank; 0 if there is none.
int64_t largest_micro_batch(const Config& config, const Ops& ops, int64_t room, RankOf rank = {});

// The size that train.micro_batch_size "auto" means on this rank: largest_micro_batch() for the share kAutoShare of
// `room`. Throws UserError if the ranks cannot share the batch equally, `room` is unknown, or nothing fits.
constexpr double kAutoShare = 0.9;
int64_t choose_micro_batch(const Config& config, const Ops& ops, int64_t room, RankOf rank = {});

// Why `engine` does not fit into `room` and what would fit, in one line; empty if it fits or `room` is unknown.
std::string why_no_room(const Config& config, const Engine& engine, const Ops& ops, int64_t room);

// Throws UserError if why_no_room() gives a reason. The message is that reason and, below it, the table of arenas.
void require_room(const Config& config, const Engine& engine, const Ops& ops, const Memory& memory, int sharers = 1);

}  // namespace gptmoe
