#include "bench/step_account.h"

#include "base/check.h"
#include "base/json.h"
#include "predict/gpu.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

std::vector<double> step_seconds(const std::vector<StepAccount>& accounts) {
  std::vector<double> seconds;
  for (const StepAccount& account : accounts) seconds.push_back(account.step_seconds);
  return seconds;
}

}  // namespace

AccountTable::AccountTable(const StepRun& run) : run_(run) {
  const StepAccount& account = run.accounts().at(median_index(step_seconds(run.accounts())));
  const Ceilings ceilings = run.ceilings();
  step_seconds_ = account.step_seconds;
  for (int part = 0; part < kParts; ++part) parts_.push_back({part_name(static_cast<Part>(part))});
  for (const auto& [key, total] : account.ops) {
    double fastest = total.seconds;
    for (const StepAccount& other : run.accounts()) fastest = std::min(fastest, other.ops.at(key).seconds);
    const double floor = ceilings.floor_of(total.flops, total.bytes);
    ops_.push_back({key.first,
                    part_name(total.part),
                    key.second,
                    {fastest, total.seconds},
                    total.flops,
                    total.bytes,
                    floor,
                    total.seconds / step_seconds_,
                    total.calls,
                    total.predicted * static_cast<double>(total.calls)});
    PartRow& part = parts_[static_cast<size_t>(total.part)];
    part.seconds += total.seconds;
    part.floor += floor;
    floor_ += floor;
  }
  std::sort(ops_.begin(), ops_.end(),
            [](const BenchRow& a, const BenchRow& b) { return a.timing.median > b.timing.median; });
  parts_.push_back({"other", step_seconds_ - account.ops_seconds});
}

double AccountTable::cost() const { return step_seconds_ / run_.median_seconds() - 1; }

void AccountTable::say(BenchOutput& output) const {
  output.say(text("\n", run_.variant().label,
                  ", a step op by op\n\n| part | ms | share % | floor ms |\n|---|---:|---:|---:|\n"));
  const auto say = [&](const std::string& name, double seconds, double floor) {
    output.say(text("| ", name, " | ", fixed(seconds * 1e3, 3), " | ", fixed(100 * seconds / step_seconds_, 1), " | ",
                    fixed(floor * 1e3, 3), " |\n"));
  };
  for (const PartRow& part : parts_) say(part.name, part.seconds, part.floor);
  say("step", step_seconds_, floor_);
  output.say(text("\nIn an ordinary run, the median step took ", fixed(run_.median_seconds() * 1e3, 3),
                  " ms: timing op by op costs ", percent_text(cost()), "\n"));
  output.begin_table("part", true, gpu_described(run_.ops().describe()) != nullptr);
  for (const BenchRow& op : ops_) output.say_row(op);
}

nlohmann::ordered_json AccountTable::json() const {
  nlohmann::ordered_json parts = nlohmann::ordered_json::object(), ops = nlohmann::ordered_json::array();
  for (const PartRow& part : parts_)
    parts[part.name] = {
        {"us", part.seconds * 1e6}, {"share", part.seconds / step_seconds_}, {"floor_us", part.floor * 1e6}};
  for (const BenchRow& op : ops_) ops.push_back(to_json(op));
  return {{"account",
           {{"step_us", step_seconds_ * 1e6},
            {"undisturbed_step_us", run_.median_seconds() * 1e6},
            {"cost", cost()},
            {"floor_us", floor_ * 1e6},
            {"matrix_flops_per_second", run_.ceilings().flops},
            {"copy_bytes_per_second", run_.ceilings().bytes},
            {"parts", parts}}},
          {"ops", ops}};
}

}  // namespace gptmoe
