#include "torture/bench.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <stdexcept>

#include "support/faults/plan.h"

namespace gptmoe::torture {
namespace {

using testing::Process;
using testing::ProcessOptions;
using testing::ProcessResult;
using Clock = std::chrono::steady_clock;

constexpr double kLongestSeconds = 120;
constexpr uint64_t kNever = ~uint64_t{0};  // the number of a call that no job reaches

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Waits until all processes of the group have ended; by now they are all children of this process. Returns whether they
// ended in time, and kills those that did not.
bool group_ends(pid_t group) {
  const auto start = Clock::now();
  while (waitpid(-group, nullptr, WNOHANG) >= 0) {
    if (seconds_since(start) > kLongestSeconds) {
      ::kill(-group, SIGKILL);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Whether the screen has a line "note: ..." that the undisturbed job did not print.
bool tells(const std::string& screen, const std::string& expected) {
  for (size_t at = 0; (at = screen.find("note: ", at)) != std::string::npos; ++at)
    if (expected.find(screen.substr(at, screen.find('\n', at) - at)) == std::string::npos) return true;
  return false;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Copies a folder with the times of its files, which encode and import compare.
void copy_folder(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(from))
    if (entry.is_regular_file())
      fs::last_write_time(to / fs::relative(entry.path(), from), fs::last_write_time(entry.path()));
}

// Changes `bytes` at a place that the seed determines.
void apply(const Damage& damage, std::string& bytes) {
  const Rng rng(damage.seed, 5);
  const size_t at = static_cast<size_t>(rng.below(0, std::max<uint64_t>(bytes.size(), 1)));
  const size_t line = bytes.rfind('\n', at) == std::string::npos ? 0 : bytes.rfind('\n', at) + 1;
  const size_t next = std::min(bytes.find('\n', line), bytes.size() - 1) + 1;
  if (damage.kind == "flip" && !bytes.empty())
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(1, 8)));
  else if (damage.kind == "cut")
    bytes.resize(at);
  else if (damage.kind == "zero")
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), std::min<size_t>(16, bytes.size() - at), '\0');
  else if (damage.kind == "extend")
    bytes += bytes.substr(at);
  else if (damage.kind == "repeat line" && !bytes.empty())
    bytes.insert(line, bytes.substr(line, next - line));
  else if (damage.kind == "drop line" && !bytes.empty())
    bytes.erase(line, next - line);
}

// Describes the misbehaviour of a process. Empty if it succeeded, was killed as planned, or failed with one line.
std::string misbehaviour(const ProcessResult& result, bool killed, bool memory) {
  if (result.signal == SIGKILL && killed) return "";
  if (result.signal != 0) return text("signal ", result.signal, ": ", first_line(result.err));
  if (result.exit_code == 0) return "";
  if (result.exit_code != 1 && result.exit_code != 2)
    return text("exit code ", result.exit_code, ": ", first_line(result.err));
  const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
  const bool named = result.err.starts_with("gptmoe: ") || result.err.starts_with("gptmoe-tokenize: ");
  if (lines != 1 || !named) return text(lines, " lines: ", first_line(result.err));
  for (const char* raw : {"check failed", "std::", "filesystem error", "basic_", "vector::", "[json."})
    if (result.err.find(raw) != std::string::npos) return "raw message: " + first_line(result.err);
  if (memory && result.err.find("memory") == std::string::npos) return "not about memory: " + first_line(result.err);
  return "";
}

}  // namespace

Bench::Bench(const Job& job, const std::string& programs)
    : job_(job),
      programs_(programs),
      folder_(memory_folder()),
      prepared_(folder_ / "prepared"),
      work_(folder_ / "work") {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  fs::create_directory(work_);
  write_inputs(work_);
  const auto succeed = [&](const Command& command) {
    const ProcessResult result = run(command);
    if (result.exit_code != 0) throw std::runtime_error(text(job.name, ": ", command[1], ": ", result.err));
    return result;
  };
  succeed({"gptmoe-tokenize", "train", "--input", "text", "--vocab-size", "300", "--output", "words.json"});
  for (const Command& command : job.before) succeed(command);
  copy_folder(work_, prepared_);
  if (job.interrupted_at > 0) {
    const auto at = static_cast<uint64_t>(job.interrupted_at * static_cast<double>(calls(Calls::files).size()));
    restore();
    run(job.command, {Calls::files, at, "kill"});
    fs::remove_all(prepared_);
    copy_folder(work_, prepared_);
  }
  restore();
  const auto start = Clock::now();
  expected_screen_ = succeed(job.command).out;
  seconds_ = seconds_since(start);
  expected_ = contents(work_, job);
}

void Bench::restore() {
  fs::remove_all(work_);
  copy_folder(prepared_, work_);
}

ProcessResult Bench::run(const Command& command, const Fault& fault, double kill_seconds, bool children) {
  write_text_file(record(), std::string(faults::kRecordBytes, '\0'));
  Command arguments = command;
  arguments[0] = programs_ + "/" + command[0];
  ProcessOptions options;
  options.own_group = true;
  if (fault.at > 0) {
    const std::string library = fault.calls == Calls::files ? "faults_files" : "faults_memory";
    options.environment = {"LD_PRELOAD=" + programs_ + "/lib" + library + ".so", "GPTMOE_FAULTS_RECORD=" + record(),
                           "GPTMOE_FAULTS_AT=" + std::to_string(fault.at), "GPTMOE_FAULTS_DO=" + fault.act,
                           "GPTMOE_FAULTS_FOLDER=" + work_.string() + "/"};
    if (fault.at == kNever) options.environment.push_back("GPTMOE_FAULTS_CALLS=" + call_names());
  }
  const auto start = Clock::now();
  Process process(work_, arguments, options);
  const pid_t group = process.id();
  process.wait_until([&] { return seconds_since(start) > (kill_seconds >= 0 ? kill_seconds : kLongestSeconds); });
  hung_ = kill_seconds < 0 && process.running();
  if (kill_seconds >= 0 || hung_) ::kill(children || hung_ ? -group : group, SIGKILL);
  const ProcessResult result = process.wait();
  if (!group_ends(group)) hung_ = true;
  return result;
}

ProcessResult Bench::run_job(const Fault& fault, double kill_seconds, bool children) {
  rival_failure_.clear();
  if (job_.rival.empty()) return run(job_.command, fault, kill_seconds, children);
  Command rival = job_.rival;
  rival[0] = programs_ + "/" + rival[0];
  ProcessOptions options;
  options.output = "rival_";
  Process process(work_, rival, options);
  const ProcessResult result = run(job_.command, fault, kill_seconds, children);
  const auto start = Clock::now();
  process.wait_until([&] { return seconds_since(start) > kLongestSeconds; });
  if (process.running()) process.kill(SIGKILL);
  rival_failure_ = misbehaviour(process.wait(), false, false);
  return result;
}

Outcome Bench::judge(const ProcessResult& result, bool killed, bool memory) const {
  if (hung_) return {Verdict::crashed, "did not end"};
  if (!rival_failure_.empty()) return {Verdict::crashed, "the rival: " + rival_failure_};
  if (const std::string what = misbehaviour(result, killed, memory); !what.empty()) return {Verdict::crashed, what};
  return {};
}

std::string Bench::disturbed_call() const {
  const std::string bytes = read_text_file(record());
  std::string call = bytes.c_str() + offsetof(faults::Record, call);
  if (const size_t at = call.find(work_.string() + "/"); at != std::string::npos)
    call.erase(at, work_.string().size() + 1);
  return call;
}

std::vector<std::string> Bench::calls(Calls calls) {
  restore();
  write_text_file(call_names(), "");
  run(job_.command, {calls, kNever, "delay"});
  std::vector<std::string> names;
  std::istringstream lines(read_text_file(call_names()));
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return names;
}

std::string Bench::difference() const {
  const std::map<std::string, std::string> now = [&] {
    const auto files = contents(work_, job_);
    return std::map<std::string, std::string>(files.begin(), files.end());
  }();
  for (const auto& [name, content] : expected_) {
    const auto found = now.find(name);
    if (found == now.end()) return name + " is missing";
    if (found->second != content) return name + " differs";
  }
  for (const auto& file : now)
    if (std::none_of(expected_.begin(), expected_.end(), [&](const auto& each) { return each.first == file.first; }))
      return "left over: " + file.first;
  return "";
}

// Judges the results of a job that succeeded. If it did not, first runs the commands with which a user would finish it.
Outcome Bench::after(const ProcessResult& result) {
  const bool done = result.signal == 0 && result.exit_code == 0;
  if (done) {
    const std::string now = difference();
    if (now.starts_with("left over")) return {Verdict::left_over, now};
    if (!now.empty() && tells(result.out, expected_screen_)) return {};
    if (!now.empty()) return {Verdict::silent, now};
    if (job_.results.empty() && result.out != expected_screen_) return {Verdict::silent, "prints something else"};
    return {};
  }
  std::string why;
  for (const Command& command : job_.again) {
    const ProcessResult next = run(command);
    if (next.exit_code == 0) {
      const std::string now = difference();
      if (now.empty()) return {};
      return {now.starts_with("left over") ? Verdict::left_over : Verdict::lost,
              text(now, " after: ", first_line(result.err))};
    }
    why += text(" | ", next.signal != 0 ? text("signal ", next.signal) : first_line(next.err));
  }
  if (difference().empty()) return {};  // all was done, and the command refuses to do it again
  return {Verdict::lost, text("not finished after: ", first_line(result.err), why)};
}

Outcome Bench::attempt(const Fault& fault) {
  restore();
  const ProcessResult result = run_job(fault);
  const std::string call = disturbed_call();
  Outcome outcome = judge(result, fault.act == "kill", fault.calls == Calls::memory && !call.empty());
  if (outcome.verdict == Verdict::survived) outcome = after(result);
  if (outcome.verdict != Verdict::survived)
    outcome.note = text(fault.act, " at call ", fault.at, " (", call, "): ", outcome.note);
  return outcome;
}

Outcome Bench::kill_after(double share, bool children) {
  restore();
  const ProcessResult result = run_job({}, share * seconds_, children);
  Outcome outcome = judge(result, true, false);
  if (outcome.verdict == Verdict::survived) outcome = after(result);
  if (outcome.verdict != Verdict::survived) outcome.note = text("killed after ", share, " of its time: ", outcome.note);
  return outcome;
}

Outcome Bench::attempt(const Damage& damage) {
  restore();
  const fs::path path = work_ / damage.file;
  const std::string whole = read_text_file(path);
  std::string bytes = whole;
  apply(damage, bytes);
  if (bytes == whole) return {};
  write_text_file(path, bytes);
  const ProcessResult result = run_job({});
  Outcome outcome = judge(result, false, false);
  if (outcome.verdict == Verdict::survived && result.exit_code == 1)
    outcome = {Verdict::crashed, "exit code 1: " + first_line(result.err)};
  if (outcome.verdict == Verdict::survived && result.exit_code == 0) outcome = after(result);
  const bool sealed = std::find(job_.unsealed.begin(), job_.unsealed.end(), damage.file) == job_.unsealed.end();
  if (outcome.verdict == Verdict::silent && !sealed) outcome = {};
  if (outcome.verdict != Verdict::survived)
    outcome.note = text(damage.file, ": ", damage.kind, " with seed ", damage.seed, ": ", outcome.note);
  return outcome;
}

}  // namespace gptmoe::torture
