#pragma once
// Streams, events and graphs of the simulated GPU. What a stream is asked for is done at once, but for what is asked
// for as late work: collectives, which are done as late as CUDA may do them, when something waits that comes behind
// them on their stream. So a wait that is missing shows in the results. While a stream is recorded nothing is done.
#include <cuda_runtime.h>

#include <functional>

namespace simt {

void submit(cudaStream_t stream, std::function<void()> work);
void submit_late(cudaStream_t stream, std::function<void()> work);
// Whether `stream` has waited for another one, and since then nothing more was asked of those that it waited for.
bool follows_others(cudaStream_t stream);
// Whether a graph is being recorded.
bool capturing();
// Does everything that any stream was asked for.
void finish_all();
// Forgets what they were asked for and have not done.
void drop_all();

// What has crossed between host and device, or been allocated there, since the program started.
struct Traffic {
  int downloads = 0, uploads = 0, allocations = 0, graph_launches = 0;
};
extern Traffic traffic;

}  // namespace simt
