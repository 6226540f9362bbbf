// The CUDA runtime's calls for streams, events and graphs. Only one capture can be active at a time.
#include "simt/stream.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "simt/runtime_status.h"

namespace simt {
namespace {

// Queued work in order; the positions of the items increase.
class Lane {
 public:
  void ask(int64_t position, bool late, std::function<void()> work) {
    if (pending_.empty() && !late) return work();
    pending_.push_back({position, std::move(work)});
  }
  void finish(int64_t position = INT64_MAX) {
    while (!pending_.empty() && pending_.front().position <= position) {
      const auto work = std::move(pending_.front().work);
      pending_.pop_front();
      work();
    }
  }

 private:
  struct Item {
    int64_t position;
    std::function<void()> work;
  };
  std::deque<Item> pending_;
};

struct Stream {
  Lane lane;
  bool blocking = false;  // the legacy stream waits for it
  int64_t asked = 0;      // position of the last item, including captured ones
  int64_t last_work = 0;  // position of the last item that is not a wait
  // For every other stream, the position that it is known to have reached before this stream's next item runs.
  std::map<std::shared_ptr<Stream>, int64_t> knows;
  std::set<std::shared_ptr<Stream>> waited_for;  // the streams that this one has waited for directly
};
using StreamPtr = std::shared_ptr<Stream>;

// A stream's position at the time of cudaEventRecord.
struct Event {
  StreamPtr stream;  // null: never recorded
  double busy_milliseconds = 0;
  int64_t position = 0, capture = 0;
  std::map<StreamPtr, int64_t> knows;
};

struct Step {
  StreamPtr stream;
  int64_t position;
  bool late;
  std::function<void()> work;
  StreamPtr awaited;  // if this step is a wait: the stream that `stream` waits for, up to position `up_to`
  int64_t up_to;
};
using Recording = std::vector<Step>;

struct Capture {
  int64_t id;  // counted from 1
  StreamPtr origin;
  std::map<StreamPtr, int64_t> joined = {};  // every captured stream, with its last_work before it joined
  Recording steps = {};
  bool valid = true;
};
std::unique_ptr<Capture> capture;
int64_t captures = 0;

std::map<cudaStream_t, StreamPtr>& streams() {
  static std::map<cudaStream_t, StreamPtr> all = {{nullptr, std::make_shared<Stream>()}};
  return all;
}
StreamPtr find(cudaStream_t stream) { return streams().at(stream); }
bool recorded(const StreamPtr& stream) { return capture && capture->joined.contains(stream); }

void ask(cudaStream_t handle, bool late, std::function<void()> work) {
  const StreamPtr stream = find(handle);
  stream->last_work = ++stream->asked;
  if (recorded(stream))
    capture->steps.push_back({stream, stream->asked, late, std::move(work), nullptr, 0});
  else
    stream->lane.ask(stream->asked, late, std::move(work));
}

void wait_for(const StreamPtr& stream, const Event& event) {
  if (stream == event.stream) return;
  ++stream->asked;
  const auto learn = [&](const StreamPtr& other, int64_t position) {
    int64_t& known = stream->knows[other];
    known = std::max(known, position);
  };
  for (const auto& [other, position] : event.knows) learn(other, position);
  learn(event.stream, event.position);
  stream->waited_for.insert(event.stream);
  if (recorded(stream))
    capture->steps.push_back({stream, stream->asked, false, nullptr, event.stream, event.position});
  else
    stream->lane.ask(stream->asked, false,
                     [awaited = event.stream, up_to = event.position] { awaited->lane.finish(up_to); });
}

// Whether every stream that forked from the capture's origin has joined it again.
bool all_joined(const Capture& ended) {
  return std::all_of(ended.joined.begin(), ended.joined.end(), [&](const auto& entry) {
    const auto& [stream, before] = entry;
    const auto known = ended.origin->knows.find(stream);
    return stream == ended.origin || stream->last_work == before ||
           (known != ended.origin->knows.end() && known->second >= stream->last_work);
  });
}

// Runs the captured work again, with one lane per stream.
void replay(const Recording& steps) {
  std::map<StreamPtr, Lane> lanes;
  for (const Step& step : steps) {
    Lane& lane = lanes[step.stream];
    if (step.awaited)
      lane.ask(step.position, false, [&awaited = lanes[step.awaited], up_to = step.up_to] { awaited.finish(up_to); });
    else
      lane.ask(step.position, step.late, step.work);
  }
  for (auto& [stream, lane] : lanes) lane.finish();
}

cudaError_t make_stream(cudaStream_t* stream, unsigned flags) {
  const auto made = std::make_shared<Stream>();
  made->blocking = (flags & cudaStreamNonBlocking) == 0;
  *stream = reinterpret_cast<cudaStream_t>(made.get());
  streams().emplace(*stream, made);
  return cudaSuccess;
}

Event& event_of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }
Recording* as_recording(cudaGraph_t graph) { return reinterpret_cast<Recording*>(graph); }
Recording* as_recording(cudaGraphExec_t graph) { return reinterpret_cast<Recording*>(graph); }

}  // namespace

double busy_milliseconds = 0;
Traffic traffic;

void submit(cudaStream_t stream, std::function<void()> work) { ask(stream, false, std::move(work)); }
void submit_late(cudaStream_t stream, std::function<void()> work) { ask(stream, true, std::move(work)); }
bool capturing() { return capture != nullptr; }
bool captured(cudaStream_t stream) { return recorded(find(stream)); }

bool forbidden_in_capture() {
  if (capture) capture->valid = false;
  return capture != nullptr;
}

cudaError_t may_receive_work(cudaStream_t stream) {
  if (captured(stream)) return capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
  const auto blocks = [](const auto& joined) { return joined.first->blocking; };
  if (stream || !capture || std::none_of(capture->joined.begin(), capture->joined.end(), blocks)) return cudaSuccess;
  capture->valid = false;
  return cudaErrorStreamCaptureImplicit;
}

bool follows_others(cudaStream_t handle) {
  const StreamPtr stream = find(handle);
  return !stream->waited_for.empty() &&
         std::all_of(stream->waited_for.begin(), stream->waited_for.end(),
                     [&](const StreamPtr& other) { return stream->knows.at(other) >= other->last_work; });
}

void finish_all() {
  for (const auto& [handle, stream] : streams()) stream->lane.finish();
}
void drop_all() {
  for (const auto& [handle, stream] : streams()) stream->lane = {};
}

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) { return make_stream(stream, flags); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return make_stream(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const StreamPtr ended = find(stream);
  ended->lane.finish();
  ended->knows.clear();  // streams that refer to each other would never be freed
  ended->waited_for.clear();
  streams().erase(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  REFUSE_IN_CAPTURE();
  ++simulated_device.host_waits;
  find(stream)->lane.finish();
  return use_device();
}
cudaError_t cudaDeviceSynchronize() {
  REFUSE_IN_CAPTURE();
  ++simulated_device.host_waits;
  finish_all();
  return use_device();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &event_of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const StreamPtr stream = find(handle);
  event_of(event) = {stream, busy_milliseconds, stream->asked, recorded(stream) ? capture->id : 0, stream->knows};
  return cudaSuccess;
}
// The result is right only if no work was pending when the events were recorded.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  REFUSE_IN_CAPTURE();
  if (!event_of(start).stream || !event_of(end).stream) return cudaErrorInvalidResourceHandle;
  *milliseconds = static_cast<float>(event_of(end).busy_milliseconds - event_of(start).busy_milliseconds);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  REFUSE_IN_CAPTURE();
  const Event& at = event_of(event);
  if (at.capture != 0) return cudaErrorCapturedEvent;
  ++simulated_device.host_waits;
  if (at.stream) at.stream->lane.finish(at.position);
  return use_device();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const StreamPtr stream = find(handle);
  const Event& at = event_of(event);
  if (!at.stream) return cudaSuccess;
  if (at.capture == 0 && recorded(stream)) {
    capture->valid = false;
    return cudaErrorStreamCaptureIsolation;
  }
  if (at.capture != 0) {
    if (!capture || capture->id != at.capture) return cudaErrorCapturedEvent;
    capture->joined.emplace(stream, stream->last_work);  // if it has not joined yet, it forks here
  }
  wait_for(stream, at);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  REFUSE_IN_CAPTURE();
  if (!stream) return cudaErrorStreamCaptureUnsupported;  // the legacy stream
  capture = std::make_unique<Capture>(Capture{++captures, find(stream)});
  capture->joined.emplace(capture->origin, capture->origin->last_work);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = recorded(find(stream)) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const auto ended = std::exchange(capture, nullptr);
  if (!ended || ended->origin != find(stream)) return cudaErrorStreamCaptureUnmatched;
  if (!ended->valid) return cudaErrorStreamCaptureInvalidated;
  if (!all_joined(*ended)) return cudaErrorStreamCaptureUnjoined;
  *graph = reinterpret_cast<cudaGraph_t>(new Recording(std::move(ended->steps)));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new Recording(*as_recording(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete as_recording(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete as_recording(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  RETURN_IF_BROKEN();
  REFUSE_WORK(stream);
  ++traffic.graph_launches;
  submit(stream, [steps = as_recording(graph)] { replay(*steps); });
  return cudaSuccess;
}

}  // extern "C"
