#pragma once

namespace gptmoe {

// Checks the limits that would make the program crash or deadlock in places that cannot report it. Each function throws
// UserError naming the limit and the remedy.

// Refuses an OMP_NUM_THREADS of more threads than any machine has: OpenMP ends the program when it cannot start them.
void require_possible_thread_count();

// Refuses a stack that is too small for the program (ulimit -s).
void require_stack();

}  // namespace gptmoe
