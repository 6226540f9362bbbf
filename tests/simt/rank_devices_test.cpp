// Which GPU a rank takes, and the errors when ranks and GPUs do not match.
#include <gtest/gtest.h>

#include "engine/backend.h"
#include "made_up_world.h"
#include "simt/simulated_device.h"
#include "support/error_message.h"
#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

// The answers of ranks without problems. Exchange 0: "." (agree()'s word for success), the rank has taken a GPU.
// Exchange 1: "", the rank can use the GPU. Exchange 2: the GPU's name, which differs for every rank. Later exchanges:
// success.
std::string fine(int rank, int exchange) {
  return exchange == 1 ? "" : exchange == 2 ? text("GPU of rank ", rank) : ".";
}

class RankDevices : public ::testing::Test {
 protected:
  ~RankDevices() override { simt::simulated_device = {}; }
  static Config config(const std::string& device) { return tiny_config({{"device", device}}); }
  static std::string refusal(const std::string& device, MadeUpWorld world) {
    return message<UserError>([&] { assign_devices(config(device), world); });
  }
};

TEST_F(RankDevices, AreTakenByLocalRank) {
  simt::simulated_device.count = 4;
  MadeUpWorld world(2, 4, fine);
  assign_devices(config("cuda"), world);
  EXPECT_EQ(simt::simulated_device.current, 2);
  EXPECT_EQ(world.exchanges, 4);
}

TEST_F(RankDevices, MayBeVisibleOneByOne) {
  MadeUpWorld world(1, 2, fine);
  assign_devices(config("auto"), world);
  EXPECT_EQ(simt::simulated_device.current, 0);
  const std::string shared = cuda_device_id();
  EXPECT_EQ(shared, "GPU-00000000-0000-0000-0000-000000000000");
  const auto sharing = [&](int rank, int exchange) { return exchange == 2 ? shared : fine(rank, exchange); };
  EXPECT_EQ(
      refusal("cuda", {1, 2, sharing}),
      text("rank 1 (here): rank 0 (here) and rank 1 (here) use the same GPU (", shared,
           "): start at most one rank per GPU on each machine, and let each rank see all GPUs or a different one; or "
           "set device to \"cpu\""));
}

TEST_F(RankDevices, MustBeEnough) {
  simt::simulated_device.count = 2;
  const std::string line = "4 ranks on this machine, but 2 GPUs: start 2, or set device to \"cpu\"";
  EXPECT_EQ(refusal("cuda", {1, 4, fine}), "rank 1 (here): " + line);
  simt::simulated_device.count = 4;
  const auto of_another = [&](int rank, int exchange) { return rank == 3 ? "u" + line : fine(rank, exchange); };
  EXPECT_EQ(refusal("auto", {1, 4, of_another}), "rank 3 (here): " + line);
}

TEST_F(RankDevices, MustExistForEveryRankOrForNone) {
  const auto none = [](int, int exchange) { return exchange == 1 ? "no GPU was found" : exchange == 2 ? "" : "."; };
  EXPECT_EQ(
      refusal("auto", {0, 2, none}),
      "rank 0 (here): device: \"auto\", but rank 1 (here) has no GPU (no GPU was found) while rank 0 (here) has one; "
      "start ranks only where GPUs are, or set device to \"cpu\"");
  simt::simulated_device.count = 0;
  MadeUpWorld world(0, 2, none);
  assign_devices(config("auto"), world);
  EXPECT_TRUE(make_backend(config("auto"))->memory().on_host());
}

TEST_F(RankDevices, AreNotQueriedIfNoRankNeedsThem) {
  simt::simulated_device.count = 2;
  MadeUpWorld many(3, 4, fine), one(0, 1, fine);
  assign_devices(config("cpu"), many);
  assign_devices(config("cuda"), one);
  EXPECT_EQ(many.exchanges + one.exchanges, 0);
}

TEST_F(RankDevices, CommunicateThroughNccl) {
  MadeUpWorld many(0, 2, fine), one(0, 1, fine);
  const auto cpu = make_backend(config("cpu")), gpu = make_backend(config("cuda"));
  EXPECT_EQ(make_communicator(many, *cpu)->size(), 2);
  EXPECT_EQ(make_communicator(one, *gpu)->size(), 1);
#ifdef GPTMOE_NCCL
  EXPECT_NE(message<DeviceError>([&] { make_communicator(many, *gpu); }).find("wrong number of ranks"),
            std::string::npos);
#else
  simt::simulated_device.count = 2;
  EXPECT_EQ(
      refusal("auto", {0, 2, fine}),
      "rank 0 (here): device: 2 ranks with GPUs need NCCL, but this gptmoe was built without NCCL; install it (Debian, "
      "Ubuntu: libnccl-dev) and build again, or set device to \"cpu\"");
#endif
}

}  // namespace
}  // namespace gptmoe::testing
