#include "train/run_directory.h"

#include "base/read_json.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

std::filesystem::path config_path(const std::filesystem::path& run_dir) { return run_dir / "config.json"; }

bool may_change(const std::string& path) {
  for (const char* free : {"/train/eval_every", "/train/eval_tokens", "/train/cuda_graphs", "/checkpoint/", "/log/",
                           "/distributed/", "/device", "/data/tokenizer"})
    if (path.starts_with(free)) return true;
  return false;
}

}  // namespace

bool holds_run(const std::filesystem::path& run_dir) {
  std::error_code none;
  return std::filesystem::exists(config_path(run_dir), none);
}

Config run_config(const std::filesystem::path& run_dir) {
  if (!holds_run(run_dir)) user_error(run_dir.string(), ": holds no run (no config.json); pass a run directory");
  return load_config(config_path(run_dir));
}

void start_run_directory(const std::filesystem::path& run_dir, const Config& config) {
  if (holds_run(run_dir))
    user_error(run_dir.string(), ": holds a run already; add --resume to continue it, or choose another --out");
  std::error_code error;
  std::filesystem::create_directories(run_dir, error);
  if (error)
    user_error(run_dir.string(), ": cannot create the run directory: ", error.message(), "; choose another --out");
  if (access(run_dir.c_str(), W_OK | X_OK) != 0)
    user_error(run_dir.string(), ": cannot write there: ", std::strerror(errno), "; choose another --out");
  write_text_file(config_path(run_dir), to_json(config).dump(2) + "\n");
}

void require_summed_losses(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = config_path(run_dir);
  const auto model = read_json(path, Comments::allowed).value("model", nlohmann::json::object());
  const int64_t layers = run_config(run_dir).model.moe_layers();
  if (model.contains("balance_scope") || layers <= 1) return;
  for (const char* key : {"router_aux_loss_coef", "router_z_loss_coef"})
    if (const double was = model.value(key, 0.0); was != 0)
      user_error(run_dir.string(), ": the run began when model.", key, " was divided by the number of MoE layers, ",
                 layers, ", and cannot be continued or compared; model.", key, " = ", was / static_cast<double>(layers),
                 " gives a new run the same loss");
}

void require_continuable(const std::filesystem::path& run_dir, const Config& config) {
  require_summed_losses(run_dir);
  const ordered_json flat_before = to_json(run_config(run_dir)).flatten(), flat_now = to_json(config).flatten();
  const auto refuse = [&](const std::string& path, const ordered_json& was, const ordered_json& is) {
    user_error(run_dir.string(), ": the run began with ", dotted(path), " = ", was.dump(), ", now it is ", is.dump(),
               "; resume with the original value, or start a new run with another --out");
  };
  for (const auto& [path, value] : flat_now.items())
    if (!may_change(path) && (!flat_before.contains(path) || flat_before[path] != value))
      refuse(path, flat_before.contains(path) ? flat_before[path] : ordered_json(), value);
  for (const auto& [path, value] : flat_before.items())
    if (!may_change(path) && !flat_now.contains(path)) refuse(path, value, {});
}

void continue_run_directory(const std::filesystem::path& run_dir, const Config& config) {
  require_continuable(run_dir, config);
  write_text_file(config_path(run_dir), to_json(config).dump(2) + "\n");
}

}  // namespace gptmoe
