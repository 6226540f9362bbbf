#include "cli/interactive.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <iostream>

#include "base/file.h"

namespace gptmoe {
namespace {

// The program has nothing to save, so it can end in the middle of a pass.
extern "C" void end_now(int signal) {
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, "\n", 1);  // the terminal has printed ^C
  _exit(128 + signal);
}

}  // namespace

void print_at_once(const std::string& part) {
  std::fwrite(part.data(), 1, part.size(), stdout);
  flush_standard_output();  // if this fails, nobody can read further text
}

void end_at_interrupt() { std::signal(SIGINT, end_now); }

void converse(TextCache& cache, const Tokenizer& tokenizer, const ContinueOptions& options, uint64_t seed) {
  const bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  std::string written, line;
  for (;;) {
    if (terminal) print_at_once("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) {
      written.clear();
      continue;
    }
    written += (written.empty() ? "" : "\n") + line;
    const Continuation made = continue_prompt(cache, tokenizer, prompt_tokens(tokenizer, written, "standard input"),
                                              options, seed++, print_at_once);
    print_at_once("\n");
    written = made.finish == Finish::end_of_text ? "" : written + made.text;
  }
  if (std::ferror(stdin)) user_error("standard input: cannot be read");
  if (terminal) print_at_once("\n");
}

}  // namespace gptmoe
