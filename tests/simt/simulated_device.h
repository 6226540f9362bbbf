#pragma once

namespace simt {

// What the stand-in for the CUDA runtime says of its GPU: to be changed by tests of what happens without a fitting one.
struct SimulatedDevice {
  int count = 1;
  int major = 9;
  bool has_code = true;  // the program was compiled for it
};
extern SimulatedDevice simulated_device;

}  // namespace simt
