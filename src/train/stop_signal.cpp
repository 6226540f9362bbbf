#include "train/stop_signal.h"

#include <csignal>

namespace gptmoe {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

struct sigaction previous_int, previous_term;

// The next signal, either of the two, takes its default action.
extern "C" void note_stop(int) {
  stop_requested = 1;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  stop_requested = 0;
  struct sigaction action {};
  action.sa_handler = note_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &previous_int);
  sigaction(SIGTERM, &action, &previous_term);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &previous_int, nullptr);
  sigaction(SIGTERM, &previous_term, nullptr);
}

bool StopSignal::requested() const { return stop_requested != 0; }

}  // namespace gptmoe
