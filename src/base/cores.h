#pragma once

namespace gptmoe {

// The hardware threads this process may run on (its affinity); at least 1.
int usable_cores();

}  // namespace gptmoe
