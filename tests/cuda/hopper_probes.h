#pragma once
// Probes of single instructions of compute capability 9.0a. Each tries the readings of the manual that
// kernels/cuda/lab/README.md lists, and tells which of them the GPU follows.
#include <string>
#include <vector>

namespace gptmoe::cuda {

struct Reading {
  std::string text;
  bool right = false;  // the GPU follows it
};

struct Probe {
  const char* name;
  const char* question;
  // Runs on the current GPU. The first reading is the one that our kernels and the simulator rely on.
  std::vector<Reading> (*run)();
  bool simulated = true;  // whether the test also runs on the simulator
};

std::vector<Probe> product_probes();
std::vector<Probe> copy_probes();  // and those of barriers and registers

}  // namespace gptmoe::cuda
