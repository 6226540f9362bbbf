#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <thread>

#include "base/check.h"
#include "base/stop_signal.h"
#include "distributed/agree.h"
#include "distributed/ranks/ranks.h"

namespace gptmoe {
namespace {

using std::chrono::milliseconds;

constexpr double kOff = 0;

void sleep_for_ever() {
  for (;;) pause();
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// The last rank does something; the others wait for it in a barrier.
void last_does(World& world, const std::function<void()>& something) {
  if (world.rank() == world.size() - 1) something();
  world.barrier();
}

void reduce_with_a_hang(World& world) {
  world.watch(1, 1);
  const auto communicator = world.make_host_communicator();
  float value = 1;
  if (world.rank() == world.size() - 1) sleep_for_ever();
  communicator->all_reduce(Tensor(&value, DType::f32, {1}), Traffic::gradients);
}

// Works for `time`, reporting progress.
void tick_for(World& world, milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    world.tick();
    std::this_thread::sleep_for(milliseconds(20));
  }
}

// Pretends to train until asked to stop.
void train_until_stopped(World& world) {
  const StopSignal stop;
  world.barrier();  // now every rank handles signals
  if (world.is_root()) say("training");
  while (!world.any(stop.requested())) std::this_thread::sleep_for(milliseconds(5));
  if (world.is_root()) say("saved");
}

const std::map<std::string, std::function<void(World&)>> kFaults = {
    {"throw", [](World& world) { last_does(world, [] { throw Failure("no space left"); }); }},
    {"throw_everywhere", [](World&) { throw Failure("the loss is not finite"); }},
    {"throw_after_agreement",
     [](World& world) {
       agree(world, [&] {
         if (world.rank() == world.size() - 1) user_error("shard.bin: no such file");
       });
     }},
    {"kill", [](World& world) { last_does(world, [] { std::raise(SIGKILL); }); }},
    {"terminate", [](World& world) { last_does(world, [] { std::raise(SIGTERM); }); }},
    {"stop",
     [](World& world) {
       world.watch(1, kOff);
       last_does(world, [] { std::raise(SIGSTOP); });
     }},
    {"hang", reduce_with_a_hang},
    {"probe",
     [](World& world) {
       world.watch(1, kOff);
       if (world.rank() == 1) world.set_probe([] { throw DeviceError("the network is unreachable"); });
       last_does(world, sleep_for_ever);
     }},
    {"deadlock",
     [](World& world) {
       world.watch(1, 1);
       char byte = 0;
       if (world.is_root()) world.receive_at_root(&byte, 1, 1);
       world.barrier();
     }},
    // The next three are not faults.
    {"uneven_ends",
     [](World& world) {
       world.watch(0.5, 0.5);
       tick_for(world, milliseconds(700 * world.rank()));
     }},
    {"slow_root",
     [](World& world) {
       world.watch(0.5, 0.5);
       if (world.is_root()) tick_for(world, milliseconds(2000));
       world.barrier();
     }},
    {"long_stop",
     [](World& world) {  // shorter than the heartbeat limit, longer than the hang limit
       world.watch(3, 1);
       if (world.rank() == 1) {
         if (fork() == 0) {
           std::this_thread::sleep_for(milliseconds(2000));
           kill(getppid(), SIGCONT);
           _exit(0);
         }
         std::raise(SIGSTOP);
       }
       world.barrier();
     }},
    // These run until a signal arrives.
    {"train", train_until_stopped},
    {"start_up",
     [](World& world) {
       world.barrier();
       if (world.is_root()) say(text("starting ", getpid()));
       sleep_for_ever();
     }},
    {"deaf", [](World& world) {
       std::signal(SIGUSR1, SIG_IGN);
       std::signal(SIGTERM, SIG_IGN);
       world.barrier();
       if (world.is_root()) say("deaf");
       sleep_for_ever();
     }}};

}  // namespace

void act_out(const std::string& fault, World& world) { kFaults.at(fault)(world); }

}  // namespace gptmoe
