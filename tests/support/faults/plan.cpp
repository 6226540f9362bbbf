#include "support/faults/plan.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>

namespace gptmoe::faults {
namespace {

constexpr timespec kDelay{0, 30'000'000};

int error_number(const char* name) {
  struct Error {
    const char* name;
    int number;
  };
  for (const Error& error : {Error{"EIO", EIO},
                             {"ENOSPC", ENOSPC},
                             {"EACCES", EACCES},
                             {"EINTR", EINTR},
                             {"ENOLCK", ENOLCK},
                             {"EMFILE", EMFILE}})
    if (std::strcmp(error.name, name) == 0) return error.number;
  std::fprintf(stderr, "GPTMOE_FAULTS_DO=%s: unknown\n", name);
  std::_Exit(125);
}

// Plain system calls, since the library replaces open() and mmap().
Record* open_record(const char* path) {
  const auto fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) return nullptr;
  const long memory = syscall(SYS_mmap, nullptr, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
  syscall(SYS_close, fd);
  return memory < 0 && memory > -4096 ? nullptr : reinterpret_cast<Record*>(memory);
}

Plan read_plan() {
  Plan plan;
  if (const char* path = std::getenv("GPTMOE_FAULTS_RECORD")) plan.record = open_record(path);
  if (const char* at = std::getenv("GPTMOE_FAULTS_AT")) plan.at = std::strtoull(at, nullptr, 10);
  if (const char* folder = std::getenv("GPTMOE_FAULTS_FOLDER")) plan.folder = folder;
  if (const char* path = std::getenv("GPTMOE_FAULTS_CALLS"))
    plan.calls = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC, 0));
  const char* act = std::getenv("GPTMOE_FAULTS_DO");
  if (!act || plan.at == 0) return plan;
  if (std::strcmp(act, "short") == 0)
    plan.act = Act::cut_short;
  else if (std::strcmp(act, "kill") == 0)
    plan.act = Act::kill;
  else if (std::strcmp(act, "delay") == 0)
    plan.act = Act::delay;
  else {
    plan.act = Act::fail;
    plan.error = error_number(act);
  }
  return plan;
}

}  // namespace

const Plan& plan() {
  static const Plan plan = read_plan();
  return plan;
}

bool reached(const char* name, const char* path) {
  const Plan& now = plan();
  if (!now.record) return false;
  const uint64_t call = __atomic_add_fetch(&now.record->calls, 1, __ATOMIC_RELAXED);
  if (now.calls >= 0) {
    char line[64];
    const int length = std::snprintf(line, sizeof line, "%s\n", name);
    if (length > 0) syscall(SYS_write, now.calls, line, static_cast<size_t>(length));
  }
  if (call != now.at) return false;
  std::snprintf(now.record->call, sizeof now.record->call, "%s %s", name, path);
  if (now.act == Act::kill) kill(getpid(), SIGKILL);
  if (now.act == Act::delay) nanosleep(&kDelay, nullptr);
  return true;
}

}  // namespace gptmoe::faults
