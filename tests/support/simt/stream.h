#pragma once
// Streams, events and graphs of the simulated GPU. Work submitted to a stream runs immediately, except late work, such
// as collectives. Late work, and all work behind it on the same stream, runs as late as CUDA allows: when something
// waits for it. So a missing wait shows in the results. Work that a captured stream receives is recorded and does not
// run. A call that CUDA forbids during a capture fails and makes the capture invalid.
#include <cuda_runtime.h>

#include <functional>

namespace simt {

void submit(cudaStream_t stream, std::function<void()> work);
void submit_late(cudaStream_t stream, std::function<void()> work);
// Whether `stream` has waited for at least one other stream, and those streams have received no work since.
bool follows_others(cudaStream_t stream);
// For calls that wait, allocate, free or load: if a graph is being captured, makes it invalid and returns true.
bool forbidden_in_capture();
// Whether `stream` may receive work now. A captured stream may not if its capture is invalid. The legacy stream, which
// waits for every stream made without cudaStreamNonBlocking, may not if such a stream is captured.
cudaError_t may_receive_work(cudaStream_t stream);
// Whether a graph is being captured.
bool capturing();
// Whether work that `stream` receives is recorded.
bool captured(cudaStream_t stream);
// Runs all pending work of all streams.
void finish_all();
// Discards all pending work of all streams.
void drop_all();

// Milliseconds that the device has been busy so far. Only stand-ins for libraries count them.
extern double busy_milliseconds;

// Counts of copies between host and device, device allocations and graph launches since the program started.
struct Traffic {
  int downloads = 0, uploads = 0, allocations = 0, graph_launches = 0;
};
extern Traffic traffic;

}  // namespace simt
