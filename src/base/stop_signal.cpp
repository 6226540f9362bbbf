#include "base/stop_signal.h"

#include <csignal>
#include <iterator>

namespace gptmoe {
namespace {

// SIGUSR1 is the signal that launchers pass on to their ranks (mpirun), or send before a time limit (SLURM).
constexpr int kStops[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

volatile std::sig_atomic_t noted = 0;

struct sigaction previous[std::size(kStops)];

// Notes the first signal. The next one then takes its default action.
extern "C" void note_stop(int signal) {
  noted = signal;
  for (int stop : kStops) std::signal(stop, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note_stop;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kStops); ++i) {
    sigaction(kStops[i], nullptr, &previous[i]);
    // A signal that nohup ignores stays ignored.
    if (previous[i].sa_handler != SIG_IGN) sigaction(kStops[i], &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (size_t i = 0; i < std::size(kStops); ++i) sigaction(kStops[i], &previous[i], nullptr);
}

int StopSignal::signal() const { return noted; }

}  // namespace gptmoe
