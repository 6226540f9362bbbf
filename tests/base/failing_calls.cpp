#include "base/failing_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace gptmoe {
namespace {

std::atomic<int> errors[FailingCall::kCalls];

template <typename... Arguments>
int call(FailingCall::Call which, long number, Arguments... arguments) {
  if (const int error = errors[which]) {
    errno = error;
    return -1;
  }
  return static_cast<int>(syscall(number, arguments...));
}

}  // namespace

FailingCall::FailingCall(Call call, int error) : call_(call) { errors[call_] = error; }
FailingCall::~FailingCall() { errors[call_] = 0; }

}  // namespace gptmoe

// These take the place of the C library's functions in this program.
extern "C" {
int flock(int fd, int operation) { return gptmoe::call(gptmoe::FailingCall::flock, SYS_flock, fd, operation); }
int fsync(int fd) { return gptmoe::call(gptmoe::FailingCall::fsync, SYS_fsync, fd); }
}
