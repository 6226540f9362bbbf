#pragma once
// Finds runs in folders of several runs, such as those that gptmoe compare makes: FOLDER/ARM/seed_1,
// FOLDER/CONFIG/learning_rate=1e-3/seed_1.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

// Whether `a` sorts before `b` when the whole numbers in them are compared by value: seed_9 comes before seed_10.
bool natural_less(const std::string& a, const std::string& b);

// The runs at and below `folder`, in natural order of their paths (records/run_folder.h). Does not look into runs,
// checkpoints, hidden folders, folders named "checkpoints" or links. Leaves out folders that vanish during the search.
// Throws UserError naming a folder that cannot be read. With `skipped`, throws only if `folder` itself cannot be read.
// A folder below it that cannot be read is left out, and `skipped` gets a line that says why.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& folder,
                                             std::vector<std::string>* skipped = nullptr);

using RunReader = std::function<RunLog(const std::filesystem::path& run)>;

// The arms of the runs at and below `folder` that have metrics.jsonl. Runs named seed_N in one folder form one arm;
// every other run is a separate arm. Families with the router "topk" come first. Apart from that, families and settings
// are in natural order. Labels, families and settings are those that gptmoe compare gave them, if it made the folder;
// otherwise a label is the path from `folder` on. `read` reads a run. Throws the errors of find_runs() and `read`, and
// UserError if there is no run.
std::vector<Arm> find_arms(const std::filesystem::path& folder, const RunReader& read,
                           std::vector<std::string>* skipped = nullptr);

// The folders of the runs that find_arms() would return, arm by arm; reads no rows.
std::vector<std::filesystem::path> find_runs_by_arm(const std::filesystem::path& folder);

}  // namespace gptmoe
