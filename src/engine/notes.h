#pragma once
// What commands tell the user about a GPU's ops, apart from results: lines "note: ..." on standard error. `gptmoe
// train` has its first screen and its log for them.
#include "engine/hopper_choice.h"
#include "kernels/ops.h"

namespace gptmoe {

// choose_hopper().used. Prints a note if Hopper's kernels failed their check or could not be checked.
bool choose_hopper_with_note(const Config& config, const HopperCheck& check);

// Prints take_notes() (kernels/kept_choices.h). Call it when the ops' work is done and no progress is shown.
void print_notes(Ops& ops);

}  // namespace gptmoe
