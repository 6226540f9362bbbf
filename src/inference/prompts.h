#pragma once
// The text before a candidate's continuation.
#include <map>

#include "inference/task_file.h"

namespace gptmoe {

struct PromptOptions {
  std::string delimiter = " ";  // between a context and its continuation
  int64_t shots = 0;  // solved examples before each example, drawn by `seed` from the other examples of the file
  uint64_t seed = 1;
  const char* shots_given_by = "--shots";  // for messages
};

class Prompts {
 public:
  // `task` must outlive this object.
  Prompts(const Task& task, const PromptOptions& options);

  // The prompt of a candidate: the shots, each with its right continuation and a line break, then the context, and
  // delimiters. Shots are examples of the same category, each drawn once. An example with the same contexts and the
  // same continuations, in any order, is a copy of the example asked and would give its answer away, so it is never
  // drawn. Throws UserError if there are too few other examples.
  std::string prompt(size_t example, int64_t candidate) const;

 private:
  std::vector<size_t> draw_shots(size_t example) const;

  const Task& task_;
  PromptOptions options_;
  std::vector<size_t> first_copy_;                         // by example: its first copy in the category, or itself
  std::vector<int64_t> copies_;                            // by first copy: the number of copies, itself included
  std::map<std::string, std::vector<size_t>> categories_;  // the examples of each category
};

}  // namespace gptmoe
