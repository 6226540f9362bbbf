#pragma once

#include <cstdint>

namespace simt {

// What the stand-in for the CUDA runtime says of its GPUs: to be changed by tests of what happens without fitting ones.
struct SimulatedDevice {
  int count = 1, current = 0;
  char host[4] = {};  // the first bytes of their unique numbers, of which the last is the index
  int major = 9;
  bool has_code = true;          // the program was compiled for it
  int driver_version = 99990;    // 0: none is installed
  int shared_bytes = 227 << 10;  // of a block
  int64_t memory_bytes = int64_t{1} << 40;
  // Of launches, copies and waits: how many there were, and after how many a kernel breaks the device for good.
  int64_t calls = 0, calls_before_failure = INT64_MAX;
};
extern SimulatedDevice simulated_device;

}  // namespace simt
