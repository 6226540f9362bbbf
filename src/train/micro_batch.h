#pragma once
#include <string>
#include <vector>

#include "config/config.h"
#include "distributed/world.h"

namespace gptmoe {

// How many runs train at a time on one machine's CPUs, or on one GPU.
struct RunsAtOnce {
  int on_host = 1, on_gpu = 1;
};

// Whether train.micro_batch_size is "auto" in one of `configs`. Collective. Throws UserError on every rank if the
// ranks' configs differ in the size. So either all ranks choose a size or none does.
bool any_auto_micro_batch(const std::vector<const Config*>& configs, World& world);

// The train.micro_batch_size to use for "auto" in a new run of `config`: the smallest of the sizes that
// choose_micro_batch() (engine/memory_check.h) gives the ranks, each with its share of the free memory. Collective;
// call it after assign_devices(). Throws the errors of choose_micro_batch() and make_backend() on every rank.
int64_t agreed_micro_batch(const Config& config, World& world, RunsAtOnce runs = {});
// "8 sequences, the largest that fits into 90% of the free memory".
std::string describe_micro_batch(int64_t size);

}  // namespace gptmoe
