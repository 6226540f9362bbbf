#pragma once
// The one stream of the simulated GPU: what is asked for happens at once, or is recorded while a graph is captured.
#include <functional>

namespace simt {

void submit(std::function<void()> work);
bool capturing();

// What has crossed between host and device, or been allocated there, since the program started.
struct Traffic {
  int downloads = 0, uploads = 0, allocations = 0, graph_launches = 0, launches = 0;
};
extern Traffic traffic;

}  // namespace simt
