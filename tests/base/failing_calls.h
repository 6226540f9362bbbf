#pragma once
// While a FailingCall lives, every call of its function (flock() or fsync()) in this test program
// fails with errno set to `error`.

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
