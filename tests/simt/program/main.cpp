// gptmoe on the simulated GPU. GPTMOE_TEST_HOPPER in the environment makes the check of Hopper's kernels go wrong:
//   wrong      an op with a kernel for Hopper computes a wrong result
//   crash      the process crashes
//   hang       it does not end
//   broken     the GPU breaks while a kernel runs
//   no_memory  the GPU has no room for the check
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

#include "cli/job.h"
#include "engine/hopper_check.h"
#include "engine/hopper_choice.h"
#include "simt/simulated_device.h"

int gptmoe_main(int argc, char** argv);  // src/main.cpp

namespace gptmoe {
namespace {

// Changes an element in the middle of each op's first operand, which is its output.
class Spoiler final : public OpObserver {
 public:
  void after(const OpCall& call) override {
    const Tensor& output = *call.moved(1)[0].tensor;
    if (output.dtype() == DType::bf16) static_cast<uint16_t*>(output.data())[output.count() / 2] ^= 0x4000;
  }
};

void check_wrong_kernels() {
  const auto portable = make_cuda_ops(DType::bf16), hopper = make_cuda_ops(DType::bf16, {.hopper = true});
  Spoiler spoiler;
  Ops wrong = hopper->observed_by(spoiler);
  throw Failure(hopper_fault(*portable, wrong, hopper_cases(2)));
}

int spoilt_check(std::string_view how, int argc, char** argv) {
  if (how == "crash") {
    std::signal(SIGSEGV, SIG_DFL);  // sanitizers catch it
    std::raise(SIGSEGV);
  }
  if (how == "hang") sleep(600);
  if (how == "broken") simt::simulated_device.calls_before_failure = 100;
  if (how == "no_memory") simt::simulated_device.memory_bytes = 1 << 20;
  if (how != "wrong") return gptmoe_main(argc, argv);
  Job job(argv);
  try {
    check_wrong_kernels();
  } catch (const std::exception& error) {
    return job.fail(1, error);
  }
  return 0;
}

}  // namespace
}  // namespace gptmoe

int main(int argc, char** argv) {
  const char* how = std::getenv("GPTMOE_TEST_HOPPER");
  const bool checks = argc > 1 && argv[1] == std::string_view(gptmoe::kHopperCheckCommand);
  return how && checks ? gptmoe::spoilt_check(how, argc, argv) : gptmoe_main(argc, argv);
}
