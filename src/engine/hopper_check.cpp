#include "engine/hopper_check.h"

#include <array>
#include <memory>

#include "kernels/gpu_facts.h"
#include "op_cases/case_run.h"

namespace gptmoe {
namespace {

// Each of the two kernels may differ from the exact result by the case's tolerance.
constexpr double kTolerances = 2;

std::string fault_of(const OpCase& op, Ops& portable, Ops& hopper) {
  std::array<std::unique_ptr<CaseRun>, 3> runs;
  try {
    runs[0] = std::make_unique<CaseRun>(op, portable, Garbage::nan, DType::bf16);
    runs[1] = std::make_unique<CaseRun>(op, hopper, Garbage::nan, DType::bf16);
    runs[2] = std::make_unique<CaseRun>(op, hopper, Garbage::large, DType::bf16);
  } catch (const DeviceError&) {
    throw;
  } catch (const Failure& no_room) {
    throw UserError(no_room.what());
  }
  for (const auto& run : runs) run->forward(), run->backward();
  for (const auto& run : {runs[1].get(), runs[2].get()})
    for (const std::string& broken : run->broken_promises()) return broken;
  const Difference worst = worst_difference(*runs[1], *runs[0]);
  if (worst.error > kTolerances * op.bf16_tolerance) return worst.where;
  for (const TensorSpec& spec : op.tensors)
    if (spec.written() && !runs[1]->same_bits(*runs[2], spec.name)) return spec.name + " differs between two runs";
  return "";
}

}  // namespace

std::string hopper_fault(Ops& portable, Ops& hopper, const std::vector<OpCase>& cases) {
  for (const OpCase& op : cases)
    if (const std::string fault = fault_of(op, portable, hopper); !fault.empty()) return text(op.name, ": ", fault);
  return "";
}

void check_hopper(int local_rank, int local_size) {
  use_cuda_device(local_rank, local_size);
  if (const std::string obstacle = why_no_hopper(); !obstacle.empty()) throw UserError(obstacle);
  std::unique_ptr<Ops> portable, hopper;
  try {
    portable = make_cuda_ops(DType::bf16);
    hopper = make_cuda_ops(DType::bf16, {.hopper = true});
  } catch (const Failure& obstacle) {  // no kernel has run yet
    throw UserError(obstacle.what());
  }
  if (const std::string fault = hopper_fault(*portable, *hopper, hopper_cases(cuda_multiprocessors())); !fault.empty())
    throw Failure(fault);
}

}  // namespace gptmoe
