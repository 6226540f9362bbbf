#include "engine/hopper_choice.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "base/checksum.h"
#include "base/child_process.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/system_facts.h"
#include "distributed/agree.h"
#include "engine/backend.h"
#include "kernels/gpu_facts.h"

namespace gptmoe {
namespace {

constexpr const char* kPassed = "passed";
// How long to wait for other processes that read or write the file.
constexpr auto kPatience = std::chrono::seconds(10);

// What a check found. Only what the kernels did is kept: the next process tries again if the check was prevented.
struct Verdict {
  enum class Kind { passed, failed, prevented } kind;
  std::string why = {};
};

std::string last_line(std::string output) {
  while (output.ends_with('\n')) output.pop_back();
  std::string line = output.substr(output.rfind('\n') + 1);
  constexpr std::string_view kName = "gptmoe: ";
  return line.starts_with(kName) ? line.substr(kName.size()) : line;
}

// Whether a program's own fault raises the signal. Others come from outside, such as the system that lacks memory.
bool is_crash(int signal) {
  const auto crashes = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  return std::find(crashes.begin(), crashes.end(), signal) != crashes.end();
}

Verdict run_check(const HopperCheck& check, int local_rank, int local_size) {
  ProgressLine progress;
  if (local_rank == 0) progress.show("checking Hopper's kernels on this GPU");
  const ChildResult result = run_child(
      check.program, {kHopperCheckCommand, std::to_string(local_rank), std::to_string(local_size)}, check.limit);
  progress.clear();
  switch (result.end) {
    case ChildResult::End::exited:
      if (result.number == 0) return {Verdict::Kind::passed};
      return {result.number == 1 ? Verdict::Kind::failed : Verdict::Kind::prevented,
              result.output.empty() ? text("exit code ", result.number) : last_line(result.output)};
    case ChildResult::End::signalled:
      return {is_crash(result.number) ? Verdict::Kind::failed : Verdict::Kind::prevented,
              text("ended by signal ", result.number, " (", strsignal(result.number), ")")};
    case ChildResult::End::late:
      return {Verdict::Kind::failed, text("not finished in ", check.limit.count() / 1000.0, " s")};
    case ChildResult::End::not_started: break;
  }
  return {Verdict::Kind::prevented, text("cannot start it: ", std::strerror(result.number))};
}

HopperChoice choice_of(const Verdict& verdict, const std::string& where) {
  switch (verdict.kind) {
    case Verdict::Kind::passed: return {true, "they passed their check on this GPU"};
    case Verdict::Kind::failed:
      return {false, text("Hopper's failed their check on this GPU: ", verdict.why, where), true};
    case Verdict::Kind::prevented: break;
  }
  return {false, text("Hopper's could not be checked: ", verdict.why), true};
}

// The verdicts of earlier processes.
class KeptVerdicts {
 public:
  // Throws UserError if the program cannot be read.
  explicit KeptVerdicts(const HopperCheck& check)
      : path_(check.file),
        key_(text(cuda_device_id(), ", driver ", gpu_driver_version(), " for CUDA ", cuda_driver_version(),
                  ", program ", file_checksum(check.program))) {}

  std::optional<Verdict> find() const {
    const std::optional<std::string> kept = with_texts([&](const KeptTexts& texts) { return texts.find(key_); });
    if (!kept) return std::nullopt;
    return *kept == kPassed ? Verdict{Verdict::Kind::passed} : Verdict{Verdict::Kind::failed, *kept};
  }
  // Returns whether the file now has the verdict.
  bool keep(const Verdict& verdict) const {
    if (verdict.kind == Verdict::Kind::prevented) return false;
    return with_texts([&](KeptTexts& texts) {
      texts.keep(key_, verdict.kind == Verdict::Kind::passed ? kPassed : verdict.why);
      return true;
    });
  }

 private:
  // Returns use(texts), or an empty result if there is no file or if it cannot be used: then every process checks
  // again.
  template <typename Use>
  auto with_texts(Use use) const -> decltype(use(std::declval<KeptTexts&>())) {
    if (path_.empty()) return {};
    try {
      KeptTexts texts(KeptFile{.path = path_,
                               .section = "verdicts",
                               .holds = "gptmoe's verdicts on kernels",
                               .doing = "is reading or writing the verdicts on kernels",
                               .patience = kPatience});
      return use(texts);
    } catch (const UserError&) {
    } catch (const Failure&) {
    }
    return {};
  }

  std::filesystem::path path_;
  std::string key_;
};

HopperChoice checked(const HopperCheck& check, int local_rank, int local_size) {
  if (check.program.empty()) return {false, "this program cannot check Hopper's"};
  std::optional<KeptVerdicts> opened;
  try {
    opened.emplace(check);
  } catch (const UserError& unreadable) {
    return choice_of({Verdict::Kind::prevented, unreadable.what()}, "");
  }
  const KeptVerdicts& kept = *opened;
  const std::string where = text(" (kept in ", check.file.string(), "; remove this file to check again)");
  if (const std::optional<Verdict> verdict = kept.find()) return choice_of(*verdict, where);
  const Verdict verdict = run_check(check, local_rank, local_size);
  return choice_of(verdict, kept.keep(verdict) ? where : "");
}

}  // namespace

std::string HopperChoice::line() const {
  if (why.empty()) return "";
  return text(used ? "Hopper's" : "portable", " (", why, ")");
}

HopperChoice choose_hopper(const Config& config, const HopperCheck& check, int local_rank, int local_size) {
  const std::string& wanted = config.kernels.hopper;
  const auto portable = [&](const std::string& why) -> HopperChoice {
    if (wanted == "on") user_error("kernels.hopper: \"on\", but ", why, "; set it to \"auto\"");
    return {false, why};
  };
  const std::optional<DType> precision = cuda_precision(config);
  if (!precision) {
    portable("the run is on a CPU");
    return {};
  }
  if (wanted == "off") return {false, "kernels.hopper is \"off\""};
  if (*precision != DType::bf16) return portable("Hopper's compute in bf16, and the run's precision is f32");
  if (const std::string obstacle = why_no_hopper(); !obstacle.empty()) return portable(obstacle);
  if (wanted == "on") return {true, "kernels.hopper is \"on\""};
  return checked(check, local_rank, local_size);
}

HopperChoice agreed_hopper(const Config& config, const HopperCheck& check, World& world) {
  HopperChoice mine;
  agree(world, [&] { mine = choose_hopper(config, check, world.local_rank(), world.local_size()); });
  if (world.size() == 1) return mine;
  const std::string used = "+";
  const std::vector<std::string> all = world.all_gather(mine.used ? used : mine.why);
  if (std::all_of(all.begin(), all.end(), [&](const std::string& each) { return each == all[0]; })) return mine;
  const auto without = std::find_if(all.begin(), all.end(), [&](const std::string& each) { return each != used; });
  return {false, text(world.name(static_cast<int>(without - all.begin())), ": ", *without)};
}

}  // namespace gptmoe
