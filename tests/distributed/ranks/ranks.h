#pragma once
#include "distributed/world.h"

namespace gptmoe {

// The job that this program runs in.
World& ranks();

// Acts out the fault of that name (faults.cpp).
void act_out(const std::string& fault, World& world);

}  // namespace gptmoe
