#include <unistd.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "bench/benches.h"
#include "data/open_sources.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

// A folder with one shard of random tokens, removed with the object.
class MadeUpShards {
 public:
  static constexpr int64_t kVocabSize = 50304, kTokens = int64_t{16} << 20;

  MadeUpShards() {
    std::string name = (std::filesystem::temp_directory_path() / "gptmoe_bench_XXXXXX").string();
    if (!mkdtemp(name.data())) throw Failure(text(name, ": cannot create"));
    folder_ = name;
    const Rng rng(1, 0);
    std::vector<int32_t> ids(kTokens);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(rng.below(i, kVocabSize));
    const ShardFormat& format = shard_format_for(kVocabSize);
    std::string stored;
    store_tokens(ids, format, stored);
    const std::filesystem::path path = folder_ / "train_000000.bin";
    ShardWriter writer(path, format);
    writer.append(stored);
    writer.finish();
    publish_shard(path);
  }
  ~MadeUpShards() {
    std::error_code ignored;  // an error leaves a temporary folder behind, which does no harm
    std::filesystem::remove_all(folder_, ignored);
  }
  MadeUpShards(const MadeUpShards&) = delete;
  MadeUpShards& operator=(const MadeUpShards&) = delete;

  std::string pattern() const { return (folder_ / "*.bin").string(); }

 private:
  std::filesystem::path folder_;
};

// The config of the data to load; only the sections "data" and "train" and the vocabulary size matter.
Config config_of(const LoaderBenchOptions& options) {
  if (options.data.ends_with(".json")) {
    Config config = load_config(options.data);
    if (config.train.auto_micro_batch())
      user_error(options.data,
                 ": train.micro_batch_size: \"auto\", but a benchmark needs a number; write one there, or "
                 "give the shards and --batch");
    return config;
  }
  Config config;
  config.model.vocab_size = int64_t{1} << 31;  // accepts every token id
  if (!options.data.empty()) config.data.train = {{options.data}};
  config.train.sequence_length = options.sequence_length;
  config.train.micro_batch_size = options.batch;
  return config;
}

}  // namespace

void bench_loader(const LoaderBenchOptions& options, const BenchOptions& bench) {
  Config config = config_of(options);
  BenchOutput output(bench.json);
  std::optional<MadeUpShards> made_up;
  if (config.data.train.empty()) config.data.train = {{made_up.emplace().pattern()}};
  BatchLoader loader = open_training_data(config);
  const std::vector<NamedText>& sources = loader.sources();
  const int64_t B = config.train.micro_batch_size, T = config.train.sequence_length;
  std::vector<int32_t> batch(static_cast<size_t>(2 * B * T));
  const Tensor inputs_BT(batch.data(), DType::i32, {B, T}), targets_BT(batch.data() + B * T, DType::i32, {B, T});

  const auto ops = make_cpu_ops();
  const Ceilings ceilings = measure_ceilings(*ops);
  output.show_progress("bench  loader");
  const auto tokens = static_cast<double>(B * T);
  const double stored_bytes = sources[0].loader.shard_files()[0].format().token_bytes;
  BenchRow row{"next_batch", "loader", text(B, "x", T), {}, 0, tokens * (stored_bytes + 2 * sizeof(int32_t))};
  row.floor = ceilings.floor_of(0, row.bytes);
  row.timing = time_rounds(*ops, [&] { loader.next_batch(inputs_BT, targets_BT); });

  output.say_ceilings(*ops, ceilings);
  output.say(text(plural(shards_of(sources), "shard"), " of ", grouped_digits(tokens_of(sources)), " tokens\n"));
  output.begin_table("part");
  output.say_row(row);
  output.say(text("\n", metric_count(tokens / row.timing.median), "tokens/s by the median time, ",
                  metric_count(tokens / row.timing.fastest), "tokens/s by the fastest\n"));
  nlohmann::ordered_json line = to_json(row);
  line["tokens_per_second"] = tokens / row.timing.median;
  line["fastest_tokens_per_second"] = tokens / row.timing.fastest;
  line["copy_bytes_per_second"] = ceilings.bytes;
  output.record(line);
  output.finish();
}

}  // namespace gptmoe
