#pragma once

namespace gptmoe {

// Checks the limits that would make the program crash or deadlock in places that cannot report it. Each function throws
// UserError naming the limit and the remedy.

// Refuses an OMP_NUM_THREADS above the thread count of any machine, because OpenMP ends the program if it cannot start
// the threads.
void require_possible_thread_count();

// Refuses a stack that is too small for the program (ulimit -s).
void require_stack();

}  // namespace gptmoe
