#include "engine/notes.h"

#include <cstdio>

#include "base/printable.h"
#include "kernels/kept_choices.h"

namespace gptmoe {
namespace {

void print_note(const std::string& line) { std::fprintf(stderr, "note: %s\n", printable(line).c_str()); }

}  // namespace

bool choose_hopper_with_note(const Config& config, const HopperCheck& check) {
  const HopperChoice choice = choose_hopper(config, check);
  if (choice.unproven) print_note("kernels: " + choice.line());
  return choice.used;
}

void print_notes(Ops& ops) {
  for (const std::string& note : take_notes(ops)) print_note(note);
}

}  // namespace gptmoe
