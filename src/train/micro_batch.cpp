#include "train/micro_batch.h"

#include <algorithm>

#include "base/joined.h"
#include "base/json.h"
#include "base/progress.h"
#include "distributed/agree.h"
#include "engine/backend.h"
#include "engine/memory_check.h"

namespace gptmoe {

bool any_auto_micro_batch(const std::vector<const Config*>& configs, World& world) {
  std::vector<std::string> sizes;
  for (const Config* config : configs) sizes.push_back(to_json(*config)["train"]["micro_batch_size"].dump());
  check_alike(world, {{"train.micro_batch_size", joined(sizes)}});
  return std::any_of(configs.begin(), configs.end(),
                     [](const Config* config) { return config->train.auto_micro_batch(); });
}

int64_t agreed_micro_batch(const Config& config, World& world, RunsAtOnce runs) {
  int64_t mine = 0;
  agree(world, [&] {
    const std::unique_ptr<Ops> ops = make_backend(config);
    const int64_t room = room_in(ops->memory(), *ops, world.local_size());
    const int sharers = ops->memory().on_host() ? runs.on_host : runs.on_gpu;
    mine = choose_micro_batch(config, *ops, room < 0 ? room : room / sharers, {world.rank(), world.size()});
  });
  for (const std::string& other : world.all_gather(std::to_string(mine)))
    mine = std::min<int64_t>(mine, std::stoll(other));
  return mine;
}

std::string describe_micro_batch(int64_t size) {
  return text(plural(size, "sequence"), ", the largest that fits into ", 100 * kAutoShare, "% of the free memory");
}

}  // namespace gptmoe
