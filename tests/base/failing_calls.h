#pragma once
// While a FailingCall lives, a call of the system fails in this test program with an error.

namespace gptmoe {

class FailingCall {
 public:
  enum Call { flock, fsync, kCalls };
  FailingCall(Call call, int error);
  ~FailingCall();
  FailingCall(const FailingCall&) = delete;
  FailingCall& operator=(const FailingCall&) = delete;

 private:
  Call call_;
};

}  // namespace gptmoe
