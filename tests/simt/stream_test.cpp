// Checks that the simulated streams notice missing waits.
#include "simt/stream.h"

#include <gtest/gtest.h>

#include <string>

#include "simt/device_memory.h"

namespace {

class Streams : public ::testing::Test {
 protected:
  Streams() {
    for (cudaStream_t* stream : {&compute_, &other_}) cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
    for (cudaEvent_t* event : {&before_, &after_}) cudaEventCreateWithFlags(event, cudaEventDisableTiming);
  }
  ~Streams() override {
    for (cudaStream_t stream : {compute_, other_}) cudaStreamDestroy(stream);
    for (cudaEvent_t event : {before_, after_}) cudaEventDestroy(event);
  }

  std::function<void()> note(char what) {
    return [this, what] { done_ += what; };
  }
  void work(char what) { simt::submit(compute_, note(what)); }
  void late(char what) { simt::submit_late(other_, note(what)); }
  void fork() {
    EXPECT_EQ(cudaEventRecord(before_, compute_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other_, before_, 0), cudaSuccess);
  }
  void join() {
    EXPECT_EQ(cudaEventRecord(after_, other_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(compute_, after_, 0), cudaSuccess);
  }
  void begin() { ASSERT_EQ(cudaStreamBeginCapture(compute_, cudaStreamCaptureModeThreadLocal), cudaSuccess); }

  std::string done_;
  cudaStream_t compute_ = nullptr, other_ = nullptr;
  cudaEvent_t before_ = nullptr, after_ = nullptr;
};

TEST_F(Streams, LateWorkRunsWhenItIsWaitedFor) {
  work('a');
  fork();
  late('b');
  simt::submit(other_, note('c'));
  work('d');
  EXPECT_EQ(done_, "ad");
  join();
  work('e');
  EXPECT_EQ(done_, "adbce");
}

TEST_F(Streams, WaitingForAnEventRunsOnlyTheWorkBeforeIt) {
  late('a');
  cudaEventRecord(after_, other_);
  late('b');
  cudaStreamWaitEvent(compute_, after_, 0);
  EXPECT_EQ(done_, "a");
  EXPECT_EQ(cudaEventSynchronize(after_), cudaSuccess);
  EXPECT_EQ(done_, "a");
  EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);
  EXPECT_EQ(done_, "a");
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(done_, "ab");
  late('c');
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  EXPECT_EQ(done_, "ab");
  cudaFree(memory);
  EXPECT_EQ(done_, "abc");
}

TEST_F(Streams, KnowWhetherTheyFollowOthers) {
  EXPECT_FALSE(simt::follows_others(other_)) << "it never waited";
  work('a');
  fork();
  EXPECT_TRUE(simt::follows_others(other_));
  late('b');
  EXPECT_TRUE(simt::follows_others(other_));
  work('c');
  EXPECT_FALSE(simt::follows_others(other_));
  fork();
  EXPECT_TRUE(simt::follows_others(other_));
}

TEST_F(Streams, GraphsForkAndJoinAsTheyWereRecorded) {
  begin();
  work('a');
  fork();
  late('b');
  work('c');
  join();
  work('d');
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(compute_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(done_, "");
  late('x');
  for (int i = 0; i < 2; ++i) cudaGraphLaunch(executable, compute_);
  EXPECT_EQ(done_, "acbdacbd");
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(executable);
}

TEST_F(Streams, ARecordingWhoseStreamsAreNotJoinedIsRefused) {
  cudaGraph_t graph = nullptr;
  begin();
  fork();
  late('a');
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  begin();
  fork();
  late('a');
  join();
  late('b');  // after the join
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaErrorStreamCaptureUnjoined);
  begin();
  EXPECT_EQ(cudaStreamEndCapture(other_, &graph), cudaErrorStreamCaptureUnmatched);
  late('c');
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(done_, "c") << "recorded work does not run, and recording is over";
}

TEST_F(Streams, RecordingsAreIsolatedFromOtherWork) {
  cudaGraph_t graph = nullptr;
  late('a');
  cudaEventRecord(after_, other_);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(compute_, after_, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaErrorStreamCaptureInvalidated);
  begin();
  fork();
  late('b');
  join();
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  EXPECT_EQ(cudaStreamWaitEvent(compute_, after_, 0), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventSynchronize(after_), cudaErrorCapturedEvent);
  cudaStreamSynchronize(other_);
  EXPECT_EQ(done_, "a");
}

TEST_F(Streams, ForbiddenCallsEndARecording) {
  void *device = nullptr, *host = nullptr;
  cudaGraph_t graph = nullptr;
  const std::function<cudaError_t()> calls[] = {[&] { return cudaMalloc(&device, 4); },
                                                [&] { return cudaMallocHost(&host, 4); },
                                                [&] { return cudaFree(nullptr); },
                                                [&] { return cudaFreeHost(nullptr); },
                                                [&] { return cudaStreamSynchronize(compute_); },
                                                [&] { return cudaEventSynchronize(before_); }};
  for (const auto& call : calls) {
    EXPECT_EQ(call(), cudaSuccess);
    begin();
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(simt::may_receive_work(compute_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(simt::may_receive_work(other_), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(simt::may_receive_work(compute_), cudaSuccess);
  }
  cudaFree(device);
  cudaFreeHost(host);
}

TEST_F(Streams, TheLegacyStreamWaitsForCapturedStreams) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureUnsupported);
  begin();
  EXPECT_EQ(simt::may_receive_work(nullptr), cudaSuccess) << "the captured stream is a non-blocking one";
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  cudaStream_t blocking = nullptr;
  cudaStreamCreateWithFlags(&blocking, cudaStreamDefault);
  EXPECT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  char byte = 0;
  EXPECT_EQ(cudaMemsetAsync(&byte, 1, 1, nullptr), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(blocking);
}

TEST_F(Streams, AGraphTakesNoSizeOfMoreThan32Bits) {
  constexpr size_t kBytes = (size_t{1} << 32) + 8;
  void* const memory = simt::allocate_device(kBytes);
  ASSERT_NE(memory, nullptr);
  cudaGraph_t graph = nullptr;
  begin();
  EXPECT_EQ(cudaMemsetAsync(memory, 0, kBytes, compute_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(memory, 0, kBytes / 2, compute_), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  simt::release_device(memory);
}

}  // namespace
