// What the Node-API door knows of a machine: the same face for every instruction-set tier and every template instance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nestwalk {

// Where a workload's block lies. Null pointers for a machine that only takes recorded accesses.
struct WorkloadView {
  const double* components = nullptr;
  std::size_t component_slots = 0;
  const double* links = nullptr;
  std::size_t link_count = 0;
  const std::uint32_t* const* tables = nullptr;
  std::size_t table_count = 0;
  std::uint32_t seed_low = 0;
  std::uint32_t seed_high = 0;
};

// One simulated machine. Blocks are laid out by schema.h. All numbers were validated by the caller; simulated memory was not.
class Machine {
 public:
  Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  virtual ~Machine() = default;

  // False when the zones named do not lie in simulated memory.
  virtual bool load_context(const double* context) = 0;
  // Run accesses of the workload, or of a block of recorded ones. Return how many completed.
  virtual std::uint64_t run_synthetic(std::uint64_t from, std::uint64_t count) = 0;
  virtual std::uint64_t run_recorded(const double* pages, const std::uint16_t* words, std::uint64_t count,
                                     std::uint64_t index) = 0;
  virtual void invlpg(double tag, std::uint64_t page) = 0;
  virtual void flush_tag(double tag) = 0;
  virtual void invept(double vm) = 0;
  virtual void flush_all() = 0;
  // Write the counter block and the fault block.
  virtual void read_counters(double* counters) const = 0;
  virtual void write_counters(const double* counters) = 0;
  virtual void read_fault(double* fault) const = 0;
  // Distinct entries by position (schema::kPositions numbers).
  virtual void read_unique(double* counts) const = 0;
  // Each list: its length first with `out` null, then its numbers.
  virtual std::size_t read_reuse(double* out) = 0;
  virtual std::size_t save_state(double* out) = 0;
  virtual bool load_state(const double* state, std::size_t length) = 0;
};

// Each tier's factory; null when memory ran out. `memory` holds `words` 64-bit words.
using MachineFactory = Machine* (*)(const double* machine, std::uint64_t* memory, std::size_t words, const WorkloadView& workload);

Machine* make_machine_base(const double*, std::uint64_t*, std::size_t, const WorkloadView&);
Machine* make_machine_avx2(const double*, std::uint64_t*, std::size_t, const WorkloadView&);
Machine* make_machine_avx512(const double*, std::uint64_t*, std::size_t, const WorkloadView&);

}  // namespace nestwalk
