#include "train/provenance.h"

#include <algorithm>

#include "base/file.h"
#include "base/seal.h"
#include "base/system_facts.h"
#include "distributed/agree.h"
#include "train/build_info.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

constexpr const char* kProvenance = "provenance.json";

// On a GPU, describe() begins with the GPU's name and the dtype of its matrix products.
std::string gpu_name(const Ops& ops) {
  const std::string described = ops.describe();
  return described.substr(0, described.find(", "));
}

std::string hosts_of(const World& world) {
  std::vector<std::string> hosts;
  for (int rank = 0; rank < world.size(); ++rank)
    if (std::find(hosts.begin(), hosts.end(), world.host(rank)) == hosts.end()) hosts.push_back(world.host(rank));
  std::string out;
  for (const std::string& host : hosts) out += (out.empty() ? "" : ", ") + host;
  return out;
}

ordered_json build_entry() {
  static const std::string checksum = program_checksum();
  const BuildInfo& build = build_info();
  const auto or_null = [](const char* version) { return *version == '\0' ? ordered_json() : ordered_json(version); };
  return {{"version", build.version},    {"commit", build.commit},     {"type", build.type},
          {"native", build.native},      {"products", build.products}, {"cuda", or_null(build.cuda)},
          {"nccl", or_null(build.nccl)}, {"mpi", or_null(build.mpi)},  {"compiler", build.compiler},
          {"checksum", checksum}};
}

ordered_json read_history(const std::filesystem::path& path) {
  const char* remedy = "remove it to continue without a record of builds and machines";
  if (file_type_at(path) == std::filesystem::file_type::not_found) return ordered_json::array();
  const std::string content = read_text_file(path);  // its errors do not advise to remove the file
  const ordered_json record =
      with_remedy(remedy, [&] { return parse_sealed_json<ordered_json>(content, path.string()); });
  const auto whole = [](const ordered_json& entry) {
    return entry.is_object() && entry.contains("from_step") && entry["from_step"].is_number_integer();
  };
  if (!record.is_object() || !record.contains("history") || !record["history"].is_array() ||
      !std::all_of(record["history"].begin(), record["history"].end(), whole))
    user_error(path.string(), ": not a record of builds and machines; ", remedy);
  return record["history"];
}

ordered_json without_step(ordered_json entry) {
  entry.erase("from_step");
  return entry;
}

}  // namespace

ordered_json provenance_of(const World& world, Ops& ops, int threads, bool hopper) {
  const bool gpu = !ops.memory().on_host();
  return {{"build", build_entry()},
          {"machine",
           {{"host", hosts_of(world)},
            {"cpu", system_fact("/proc/cpuinfo", "model name")},
            {"gpu", gpu ? ordered_json(gpu_name(ops)) : ordered_json()},
            {"driver", gpu ? ordered_json(gpu_driver_version()) : ordered_json()},
            {"kernels", gpu ? ordered_json(hopper ? "hopper" : "portable") : ordered_json()}}},
          {"threads", threads},
          {"ranks", world.size()}};
}

void require_provenance(const std::filesystem::path& run_dir) { read_history(run_dir / kProvenance); }

void record_provenance(const std::filesystem::path& run_dir, int64_t step, ordered_json entry) {
  const std::filesystem::path path = run_dir / kProvenance;
  const ordered_json before = read_history(path);
  ordered_json history = ordered_json::array();
  for (const ordered_json& past : before)
    if (past["from_step"] < step) history.push_back(past);
  if (history.empty() || without_step(history.back()) != entry) {
    history.push_back({{"from_step", step}});
    history.back().update(entry);
  }
  if (history != before) write_text_file(path, sealed(ordered_json{{"history", history}}.dump(2)));
}

}  // namespace gptmoe
