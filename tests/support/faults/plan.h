#pragma once
// The plan that the libraries of this folder follow in a program that preloads them (LD_PRELOAD). These environment
// variables set it:
//   GPTMOE_FAULTS_RECORD  a file of kRecordBytes zeros, which all processes of a job share
//   GPTMOE_FAULTS_AT      the number of the call that goes wrong, counted from 1 over all processes; 0: none
//   GPTMOE_FAULTS_DO      what happens in that call: an error, given by its name (EIO), or "short", "kill" or "delay"
//   GPTMOE_FAULTS_CALLS   a file to which the name of each call is added, one per line; optional
//   GPTMOE_FAULTS_FOLDER  only calls for files below this absolute path count
#include <cstdint>

namespace gptmoe::faults {

// The contents of the file GPTMOE_FAULTS_RECORD. If the process is killed, the file keeps them.
struct Record {
  uint64_t calls;  // the number of calls so far
  char call[248];  // the call that went wrong: "rename PATH"
};
inline constexpr int64_t kRecordBytes = sizeof(Record);
static_assert(kRecordBytes == 256);

enum class Act { none, fail, cut_short, kill, delay };

struct Plan {
  Record* record = nullptr;  // null: nothing is counted
  uint64_t at = 0;
  Act act = Act::none;
  int error = 0;  // the errno of Act::fail
  const char* folder = "";
  int calls = -1;  // open file for the names of the calls; -1: none
};

// The plan that the environment describes, read at the first call. It allocates no memory with operator new.
const Plan& plan();

// Counts a call of the function `name` for `path`. Returns whether this call goes wrong. If so, also notes the call in
// the record and carries out Act::kill or Act::delay.
bool reached(const char* name, const char* path);

}  // namespace gptmoe::faults
