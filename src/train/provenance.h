#pragma once
// RUN/provenance.json records which program on which machine trained a run:
//   {"history": [{"from_step", "build": {"version", "commit", "type", "native", "products", "cuda", "nccl",
//                 "mpi", "compiler", "checksum" (of the program's file)},
//                 "machine": {"host", "cpu", "gpu", "driver", "kernels"}, "threads" (of a rank), "ranks"}]}
// An entry holds for the steps after "from_step", up to the next entry's. "cuda", "nccl" and "mpi" are null in builds
// without them; "gpu", "driver" and "kernels" ("hopper" or "portable") are null in runs on CPUs. Several hosts are
// joined by ", "; the other machine fields are rank 0's.
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "distributed/world.h"
#include "kernels/ops.h"

namespace gptmoe {

// An entry for this process, without "from_step". `hopper`: whether a GPU's ops run Hopper's kernels.
nlohmann::ordered_json provenance_of(const World& world, Ops& ops, int threads, bool hopper = false);

// Throws UserError if the run has a provenance.json that is not a provenance record.
void require_provenance(const std::filesystem::path& run_dir);

// Records that `entry` holds from `step` on. Drops entries of later steps, since the run has returned to an earlier
// checkpoint. Adds nothing if the previous entry differs only in its step. Throws UserError if the file is not a
// provenance record, Failure if it cannot be written.
void record_provenance(const std::filesystem::path& run_dir, int64_t step, nlohmann::ordered_json entry);

}  // namespace gptmoe
