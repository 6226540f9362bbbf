#pragma once
// The algorithms that were chosen for products by timing them. Timings vary, and another algorithm may give other bits,
// so files keep the choices: one in the user's cache, for all runs on this machine, and one of a run.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe::cuda {

// Where the user's choices are kept: gptmoe/cublaslt.json in $XDG_CACHE_HOME or, without it, in $HOME/.cache. Empty if
// neither names a folder by its whole path.
std::filesystem::path user_choices_file();

class ProductChoices {
 public:
  using Choice = std::optional<std::string>;

  // `user_file` is empty if the user's choices are not kept.
  explicit ProductChoices(std::filesystem::path user_file) : user_file_(std::move(user_file)) {}

  // Keeps each choice in `file` too from here on. A choice that is already there has precedence over the user's.
  void keep_in(std::filesystem::path file) { run_file_ = std::move(file); }

  // Returns the first of these: the choice of the run's file for `key`, that of the user's file, the result of time().
  // It must be valid(). The files that lacked it then have it. time() runs only if the user's file can keep its result,
  // and while this process has the lock of that file, so that all processes make the same choice. Returns first(),
  // which only the run's file keeps, if time() returns none or does not run.
  // A file that is damaged, or is none of ours, is replaced at the next choice. One that cannot be read, locked or
  // written counts as not there. Either is told once, in a note.
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
  size_t taken_ = 0;  // of the notes
};

}  // namespace gptmoe::cuda
