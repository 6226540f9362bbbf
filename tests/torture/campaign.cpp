#include "torture/campaign.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/file.h"
#include "base/printable.h"
#include "base/progress.h"

namespace gptmoe::torture {
namespace {

constexpr uint64_t kPerSeed = 1'000'000;  // random kills or damages
constexpr const char* kVerdicts[] = {"survived", "lost", "silent", "crashed", "litter"};

const char* name_of(Verdict verdict) { return kVerdicts[static_cast<int>(verdict)]; }

bool is_bad(Verdict verdict) { return verdict != Verdict::survived && verdict != Verdict::left_over; }

std::vector<std::string> read_files(const Job& job) {
  std::vector<std::string> files = job.reads;
  files.insert(files.end(), job.unsealed.begin(), job.unsealed.end());
  return files;
}

// The numbers of a row of the table.
struct Row {
  int faults = 0, memory = 0, kills = 0, damages = 0;
  int ended[std::size(kVerdicts)] = {};

  void add(const std::string& kind, Verdict verdict) {
    ++(kind == "memory" ? memory : kind == "random kill" ? kills : kind == "damage" ? damages : faults);
    ++ended[static_cast<int>(verdict)];
  }
  std::string text(const std::string& name) const {
    std::string line = "| " + name + " |";
    const int litter = ended[static_cast<int>(Verdict::left_over)];
    for (const int count : {faults, memory, kills, damages, ended[static_cast<int>(Verdict::survived)] + litter,
                            ended[static_cast<int>(Verdict::lost)], ended[static_cast<int>(Verdict::silent)],
                            ended[static_cast<int>(Verdict::crashed)], litter})
      line += " " + grouped_digits(count) + " |";
    return line + "\n";
  }
};

}  // namespace

bool applies(const std::string& act, const std::string& call) {
  const auto is_one_of = [&](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), call) != names.end();
  };
  const bool opens = is_one_of({"open", "openat", "creat", "fopen"});
  const bool reads = is_one_of({"read", "pread", "readv"});
  const bool writes = is_one_of({"write", "pwrite", "writev", "sendfile", "copy_file_range"});
  const bool flushes = is_one_of({"fsync", "fdatasync", "close", "fclose"});
  const bool resizes = is_one_of({"ftruncate", "truncate"});
  if (act == "short") return reads || writes;
  if (act == "EINTR") return opens || reads || writes || flushes || resizes || call == "flock";
  if (act == "ENOSPC")
    return opens || writes || flushes || resizes ||
           is_one_of({"mkdir", "mkdirat", "mkdtemp", "rename", "renameat", "renameat2", "link", "symlink"});
  if (act == "EACCES")
    return !reads && !writes && !flushes &&
           !is_one_of({"ftruncate", "flock", "mmap", "readdir", "fdopendir", "fstat", "fchmod"});
  return true;
}

std::vector<Attempt> attempts(const Campaign& campaign, const Job& job, Bench& bench) {
  std::vector<Attempt> all;
  if (campaign.stride > 0) {
    const std::vector<std::string> calls = bench.calls(Calls::files);
    for (const std::string& act : campaign.acts)
      for (uint64_t n = 1; n <= calls.size(); n += campaign.stride)
        if (applies(act, calls[n - 1])) all.push_back({act, n});
  }
  if (campaign.memory_stride > 0) {
    const uint64_t calls = bench.calls(Calls::memory).size();
    for (uint64_t n = 1; n <= calls; n += campaign.memory_stride) all.push_back({"memory", n});
  }
  for (uint64_t i = 0; i < campaign.kills; ++i) all.push_back({"random kill", campaign.seed * kPerSeed + i});
  for (uint64_t i = 0; i < campaign.damages && !read_files(job).empty(); ++i)
    all.push_back({"damage", campaign.seed * kPerSeed + i});
  return all;
}

Outcome carry_out(const Attempt& attempt, const Job& job, Bench& bench) {
  const Rng rng(attempt.n, 3);
  if (attempt.kind == "memory") return bench.attempt({Calls::memory, attempt.n, "EIO"});
  if (attempt.kind == "random kill")
    return bench.kill_after(1.1 * static_cast<double>(rng.below(0, 1000)) / 1000, attempt.n % 2 == 0);
  if (attempt.kind != "damage") return bench.attempt({Calls::files, attempt.n, attempt.kind});
  constexpr const char* kKinds[] = {"flip", "cut", "zero", "extend", "repeat line", "drop line"};
  const std::vector<std::string> files = read_files(job);
  return bench.attempt(Damage{files[attempt.n % files.size()], kKinds[rng.below(1, std::size(kKinds))], attempt.n});
}

Outcomes::Outcomes(const fs::path& file, bool retry) : path_(file.string()) {
  file_ = Descriptor(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file_) user_error(path_, ": cannot open: ", std::strerror(errno));
  const std::string content = read_text_file(file);
  if (!content.empty() && content.back() != '\n') append_fully(file_.get(), "\n", path_);
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> words;
    for (size_t begin = 0; words.size() < 4;) {
      const size_t tab = std::min(line.find('\t', begin), line.size());
      words.push_back(line.substr(begin, tab - begin));
      begin = std::min(tab + 1, line.size());
    }
    const auto* verdict = std::find(std::begin(kVerdicts), std::end(kVerdicts), words[3]);
    if (lines.eof() || verdict == std::end(kVerdicts)) continue;  // a kill cut it short
    const size_t note = words[0].size() + words[1].size() + words[2].size() + words[3].size() + 4;
    outcomes_[words[0]][{words[1], std::stoull(words[2])}] = {static_cast<Verdict>(verdict - std::begin(kVerdicts)),
                                                              line.substr(std::min(note, line.size()))};
  }
  if (!retry) return;
  for (auto& [job, of_job] : outcomes_)
    std::erase_if(of_job, [](const auto& each) { return each.second.verdict != Verdict::survived; });
}

bool Outcomes::has(const std::string& job, const Attempt& attempt) const {
  const std::lock_guard lock(mutex_);
  const auto found = outcomes_.find(job);
  return found != outcomes_.end() && found->second.contains(attempt);
}

void Outcomes::add(const std::string& job, const Attempt& attempt, const Outcome& outcome) {
  const std::string line = text(job, '\t', attempt.kind, '\t', attempt.n, '\t', name_of(outcome.verdict), '\t',
                                printable(outcome.note), '\n');
  const std::lock_guard lock(mutex_);
  append_fully(file_.get(), line, path_);
  outcomes_[job][attempt] = outcome;
}

std::string Outcomes::table(const std::vector<Job>& jobs) const {
  const std::lock_guard lock(mutex_);
  std::string rows =
      "| job | faults | failed allocations | kills | damaged files | survived | lost | silent | crashed | litter |\n"
      "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
  std::string findings;
  Row total;
  for (const Job& job : jobs) {
    const auto found = outcomes_.find(job.name);
    if (found == outcomes_.end() || found->second.empty()) continue;
    Row row;
    for (const auto& [attempt, outcome] : found->second) {
      row.add(attempt.kind, outcome.verdict);
      total.add(attempt.kind, outcome.verdict);
      if (outcome.verdict != Verdict::survived)
        findings += text(name_of(outcome.verdict), ": ", job.name, ": ", outcome.note, '\n');
    }
    rows += row.text(job.name);
  }
  return rows + total.text("total") + findings;
}

int Outcomes::bad() const {
  const std::lock_guard lock(mutex_);
  int count = 0;
  for (const auto& [job, of_job] : outcomes_)
    count += static_cast<int>(
        std::count_if(of_job.begin(), of_job.end(), [](const auto& each) { return is_bad(each.second.verdict); }));
  return count;
}

}  // namespace gptmoe::torture
