#pragma once
// The algorithms that were chosen for products by timing them. Timings vary, and a different algorithm may give
// different bits. So files keep the choices: one in the user's cache, for all runs on this machine, and one for each
// run.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe::cuda {

class ProductChoices {
 public:
  using Choice = std::optional<std::string>;

  // `user_file` is empty if the user's choices are not kept.
  explicit ProductChoices(std::filesystem::path user_file) : user_file_(std::move(user_file)) {}

  // From now on, also keeps each choice in `file`. A choice that is already there has precedence over the user's.
  void keep_in(std::filesystem::path file) { run_file_ = std::move(file); }

  // Returns the first of these choices that exists: the run file's for `key`, the user file's for `key`, the result of
  // time(). A file's choice counts only if it is valid(). The choice is added to the files that lack it. time() runs
  // only if the user's file can be read and locked, and while this process holds its lock, so that all processes make
  // the same choice. If time() does not run or returns none, get() returns first(), which only the run's file keeps.
  // A file that is damaged or not ours is replaced at the next choice. A file that cannot be read, locked or written
  // counts as absent. In both cases take_notes() returns a line about the file, once.
  std::string get(const std::string& key, const std::function<bool(const std::string&)>& valid,
                  const std::function<Choice()>& time, const std::function<std::string()>& first);

  // What happened to files since the last call, as lines for the user.
  std::vector<std::string> take_notes();
  // Adds a line unless it was added before.
  void note(const std::string& line);

 private:
  using Make = std::function<Choice()>;
  // The choice in `file`, or that of make(), which `file` then keeps. None if `file` cannot be read or locked, or if
  // make() returns none.
  Choice kept(const std::filesystem::path& file, const std::string& key,
              const std::function<bool(const std::string&)>& valid, const Make& make);

  std::filesystem::path user_file_, run_file_;
  std::vector<std::string> notes_;
  size_t taken_ = 0;  // how many of the notes were taken
};

}  // namespace gptmoe::cuda
