#include "train/first_screen.h"

#include <cstdio>
#include <map>

#include "base/printable.h"
#include "base/progress.h"
#include "data/shard_seals.h"
#include "engine/describe.h"
#include "engine/slow_paths.h"

namespace gptmoe {
namespace {

std::string describe_ranks(const Config& config, const World& world) {
  const DistributedConfig& d = config.distributed;
  const int elsewhere = world.size() - world.local_size();
  return text(world.size(), elsewhere > 0 ? text(" (", world.local_size(), " here)") : "", ", micro-batches of ",
              config.train.micro_batch_size,
              d.zero_stage == 0   ? "; each holds the whole optimizer"
              : d.zero_stage == 1 ? "; each holds its part of the optimizer (ZeRO stage 1)"
                                  : "; each holds its part of the optimizer and of the gradients (ZeRO stage 2)",
              "; gradients are sent in ", d.reduce_dtype);
}

// One line for each source of a mixture: its share of the tokens, so far and in the remaining `sequences` of the run,
// and how many epochs of the source the whole run reads. Empty if there is only one source.
std::vector<std::string> describe_mixture(const BatchLoader& data, int64_t sequences) {
  std::vector<std::string> lines;
  const std::vector<NamedText>& sources = data.sources();
  const LoaderState state = data.state();
  const std::vector<std::pair<std::string, double>> so_far = data.shares_read(state);
  for (size_t s = 0; sources.size() > 1 && s < sources.size(); ++s) {
    const double share = data.shares()[s], windows = static_cast<double>(sources[s].loader.windows());
    const SourceState& place = state.sources[s];
    const double epochs = static_cast<double>(place.epoch) + static_cast<double>(place.position) / windows +
                          share * static_cast<double>(sequences) / windows;
    char read[120], before[40] = "";
    if (!so_far.empty()) std::snprintf(before, sizeof before, " (%.1f%% so far)", 100 * so_far[s].second);
    std::snprintf(read, sizeof read, "%.1f%% of the tokens%s, %.2f epochs of ", 100 * share, before, epochs);
    lines.push_back(text(sources[s].name, ": ", read, grouped_digits(sources[s].loader.tokens())));
  }
  return lines;
}

// A line about shards in different sources that have the same tokens; empty if there are none.
std::string describe_twice(const std::vector<NamedText>& sources) {
  std::map<std::pair<int64_t, uint64_t>, std::pair<const Shard*, const NamedText*>> seen;
  int64_t shards = 0;
  std::string first;
  for (size_t s = 0; sources.size() > 1 && s < sources.size(); ++s) {
    const TokenLoader& text_of = sources[s].loader;
    for (size_t i = 0; i < text_of.shard_files().size(); ++i) {
      const Shard& shard = text_of.shard_files()[i];
      const auto [same, fresh] = seen.try_emplace({shard.size(), text_of.checksums()[i]}, &shard, &sources[s]);
      if (fresh || same->second.second == &sources[s]) continue;
      if (shards++ == 0)
        first = text(shard.path().string(), " (", sources[s].name, ") and ", same->second.first->path().string(), " (",
                     same->second.second->name, ")");
    }
  }
  if (shards == 0) return "";
  return text(plural(shards, "shard"), " in two sources with the same tokens: ", first);
}

}  // namespace

void FirstScreen::print() const {
  const TrainConfig& t = config.train;
  const int64_t sequences = t.steps * t.global_batch_size;
  const std::vector<NamedText>& sources = train_data.sources();
  const double epochs = static_cast<double>(sequences) / static_cast<double>(windows_of(sources));
  std::printf("run         %s%s\n", printable(out.string()).c_str(),
              resumed_step > 0 ? text(", resumed at step ", resumed_step).c_str() : "");
  std::printf("model       %s\n", describe_model(config.model).c_str());
  if (config.model.num_experts > 0) std::printf("router      %s\n", describe_router(config.router).c_str());
  if (const std::string average = describe_average(config, world.size()); !average.empty())
    std::printf("average     %s\n", average.c_str());
  if (const std::string moments = describe_moments(config.optimizer); !moments.empty())
    std::printf("moments     %s\n", moments.c_str());
  std::printf("parameters  %s\n", describe_parameters(engine.gpt()).c_str());
  for (const std::string& line : start_weights) std::printf("weights     %s\n", printable(line).c_str());
  std::printf(
      "data        %s: %s tokens in %lld shard(s)%s\n", printable(labels(config.data.train)).c_str(),
      grouped_digits(tokens_of(sources)).c_str(), static_cast<long long>(shards_of(sources)),
      val_data.empty() ? "; no validation" : text("; validation ", grouped_digits(tokens_of(val_data))).c_str());
  for (const std::string& line : describe_mixture(train_data, (t.steps - resumed_step) * t.global_batch_size))
    std::printf("source      %s\n", printable(line).c_str());
  if (const std::string twice = describe_twice(sources); !twice.empty())
    std::printf("twice       %s\n", printable(twice).c_str());
  if (config.data.document_mask)
    std::printf("documents   end with token %lld, and attention restarts after it\n",
                static_cast<long long>(config.data.end_of_text));
  const int64_t unsealed = unsealed_shards(sources) + unsealed_shards(val_data);
  if (unsealed > 0)
    std::printf("unchecked   %s without a checksum in a %s\n", plural(unsealed, "shard").c_str(), kManifestName);
  std::printf("training    %s steps of %lld x %lld = %s tokens (%.2f epochs), %lld micro-batch(es) per step\n",
              grouped_digits(t.steps).c_str(), static_cast<long long>(t.global_batch_size),
              static_cast<long long>(t.sequence_length), grouped_digits(sequences * t.sequence_length).c_str(), epochs,
              static_cast<long long>(t.micro_batches(world.size())));
  if (!micro_batch_note.empty()) std::printf("micro-batch %s\n", micro_batch_note.c_str());
  if (world.size() > 1) std::printf("ranks       %s\n", describe_ranks(config, world).c_str());
  std::printf("memory      %s\n", describe_memory(engine).c_str());
  std::printf("work        %sFLOP per token, forward and backward\n",
              metric_count(engine.forward_flops_per_token() + engine.backward_flops_per_token()).c_str());
  std::printf("device      %s; %sFLOP/s on large products%s\n", ops.describe().c_str(),
              metric_count(matrix_rate).c_str(), world.size() > 1 ? " of all ranks" : "");
  if (!kernels.empty()) std::printf("kernels     %s\n", printable(kernels).c_str());
  for (const std::string& path : slow_paths(config, ops, resumed_step > 0))
    std::printf("slow        %s\n", path.c_str());
  if (!threads_note.empty()) std::printf("slow        %s\n", threads_note.c_str());
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace gptmoe
