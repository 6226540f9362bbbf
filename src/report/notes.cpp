#include "report/notes.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/check.h"
#include "report/comparison.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

std::string name_of(const ArmResult& result, size_t run) {
  return text(result.arm.label, " (", result.arm.runs[run].dir.string(), ")");
}

void note_runs(const ArmResult& result, std::vector<std::string>& notes) {
  for (size_t i = 0; i < result.arm.runs.size(); ++i) {
    const RunLog& run = result.arm.runs[i];
    const char* const of_many = result.arm.runs.size() > 1 ? "; its arm has no final perplexity." : ".";
    // run.diverged is planned_steps + 1 if the weights after the last step are not finite.
    if (run.diverged)
      notes.push_back(text(name_of(result, i), " diverged at step ", std::min(*run.diverged, run.planned_steps), " of ",
                           run.planned_steps, of_many));
    else if (run.has_diverged())
      notes.push_back(text(name_of(result, i), " diverged: its last validation perplexity is not finite", of_many));
    else if (!run.finished())
      notes.push_back(text(name_of(result, i), " is unfinished: step ", run.last_step(), " of ", run.planned_steps,
                           result.arm.runs.size() > 1 ? "; the curves of its arm end with it." : "."));
    if (run.evals.empty())
      notes.push_back(text(name_of(result, i), " has no evaluation yet and is left out of the perplexities."));
    else if (run.finished() && !run.has_diverged() && run.lacks_last_eval())
      notes.push_back(
          text(name_of(result, i), " has no evaluation of its last step; gptmoe train --resume evaluates it."));
    for (const std::string& problem : run.problems) notes.push_back(problem + ".");
  }
}

// Notes an arm's seeds that have no partner in the other arm.
void note_unpaired(const ArmResult& arm, const ArmResult& other, std::vector<std::string>& notes) {
  std::string seeds;
  size_t count = 0;
  for (const RunLog& run : arm.arm.runs) {
    const auto of_same_seed = [&](const RunLog& partner) { return run.seed && partner.seed == run.seed; };
    if (std::any_of(other.arm.runs.begin(), other.arm.runs.end(), of_same_seed)) continue;
    seeds += text(count++ ? ", " : "", run.seed ? text(*run.seed) : "unknown");
  }
  if (count > 0)
    notes.push_back(text(arm.arm.label, " has ", count == 1 ? "a seed" : "seeds", " that ", other.arm.label, " lacks (",
                         seeds, "), left out of the gap between the two."));
}

void note_speeds(const Comparison& comparison, std::vector<std::string>& notes) {
  std::vector<std::string> told;
  for (const ArmResult& result : comparison.arms) {
    const std::string& why = result.speed_obstacle.sentence;
    if (why.empty() || std::find(told.begin(), told.end(), why) != told.end()) continue;
    notes.push_back(why + ": speeds are not compared.");
    told.push_back(why);
  }
}

// Perplexities are only comparable if these keys agree.
void note_settings(const Comparison& comparison, std::vector<std::string>& notes) {
  for (const char* key : {"/data/val", "/data/tokenizer", "/data/document_mask", "/train/eval_tokens",
                          "/train/sequence_length", "/model/vocab_size"}) {
    std::set<std::string> values;
    const nlohmann::ordered_json::json_pointer pointer{std::string(key)};
    const char* const absent = std::string(key) == "/data/document_mask" ? "false" : "";  // runs of older versions
    for (const ArmResult& result : comparison.arms)
      for (const RunLog& run : result.arm.runs)
        values.insert(run.config.contains(pointer) ? run.config[pointer].dump() : absent);
    if (values.size() < 2) continue;
    std::string name(key + 1);
    std::replace(name.begin(), name.end(), '/', '.');
    notes.push_back(text("Runs differ in ", name, ": their perplexities are not comparable."));
  }
}

// The ways in which runs mix their sources: the JSON of data.train without paths and names.
std::set<std::string> mixtures(const Comparison& comparison) {
  std::set<std::string> all;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs) {
      const nlohmann::ordered_json::json_pointer train{"/data/train"};
      nlohmann::ordered_json sources = run.config.contains(train) ? run.config[train] : nlohmann::ordered_json();
      if (sources.is_object())  // globs by name
        sources = nlohmann::ordered_json(sources.size(), nlohmann::ordered_json::object());
      else if (!sources.is_array())
        sources = nlohmann::ordered_json::array({sources});
      for (auto& source : sources) {
        if (!source.is_object()) source = nlohmann::ordered_json::object();
        source.erase("path");
        source.erase("name");
      }
      all.insert(sources.dump());
    }
  return all;
}

// The shards behind equal paths may differ, and those behind different paths may be equal; history.json says which
// tokens were read.
void note_data(const Comparison& comparison, std::vector<std::string>& notes) {
  const auto differ = [&](std::vector<DataFile> HistoryEntry::*files) {
    const std::vector<DataFile>* first = nullptr;
    for (const ArmResult& result : comparison.arms)
      for (const RunLog& run : result.arm.runs) {
        if (run.history.empty()) continue;
        const std::vector<DataFile>& read = run.history.back().*files;
        if (!first) first = &read;
        if (!same_tokens(*first, read)) return true;
      }
    return false;
  };
  if (differ(&HistoryEntry::val))
    notes.push_back("Runs read different validation tokens: their perplexities are not comparable.");
  if (differ(&HistoryEntry::train))
    notes.push_back("Runs read different training tokens.");
  else if (mixtures(comparison).size() > 1)
    notes.push_back("Runs mix their training sources differently.");
}

// Compares the checksums of the files that were scored, since files of the same name may differ. Rows of older versions
// have no checksum.
void note_tasks(const Comparison& comparison, std::vector<std::string>& notes) {
  std::map<std::string, std::set<std::tuple<std::string, int64_t, int64_t>>> scored;  // by task
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs)
      for (const TasksRow& row : run.tasks)
        for (const auto& [name, score] : row.tasks)
          if (score.file_checksum && score.shots)
            scored[name].emplace(*score.file_checksum, score.examples, *score.shots);
  std::string names;
  for (const auto& [name, kinds] : scored)
    if (kinds.size() > 1) names += (names.empty() ? "" : ", ") + name;
  if (!names.empty())
    notes.push_back(text("Scores of ", names,
                         " are of different files, or of different numbers of examples or shots: they are not "
                         "comparable."));
}

void note_arms(const Comparison& comparison, std::vector<std::string>& notes) {
  const auto longer = [&](const ArmResult& result) {
    return result.diverged == 0 && result.tokens() > comparison.matched_tokens;
  };
  if (std::any_of(comparison.arms.begin(), comparison.arms.end(), longer))
    notes.push_back(text("Arms end at different token counts: perplexities are compared at ",
                         tokens_text(static_cast<double>(comparison.matched_tokens)),
                         " tokens, which all have reached, but learning rates may have decayed differently by then."));
}

}  // namespace

std::vector<std::string> notes_on(const Comparison& comparison) {
  std::vector<std::string> notes;
  for (const ArmResult& result : comparison.arms) note_runs(result, notes);
  note_settings(comparison, notes);
  note_data(comparison, notes);
  note_tasks(comparison, notes);
  note_speeds(comparison, notes);
  const ArmResult& baseline = comparison.arms[0];
  for (size_t i = 1; i < comparison.arms.size(); ++i) {
    note_unpaired(baseline, comparison.arms[i], notes);
    note_unpaired(comparison.arms[i], baseline, notes);
  }
  if (!comparison.single()) note_arms(comparison, notes);
  return notes;
}

}  // namespace gptmoe
