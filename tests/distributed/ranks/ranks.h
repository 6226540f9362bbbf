#pragma once
#include "distributed/world.h"

namespace gptmoe {

// The ranks of the job that this program runs in.
World& ranks();

// Acts out the fault named `fault` (faults.cpp).
void act_out(const std::string& fault, World& world);

}  // namespace gptmoe
