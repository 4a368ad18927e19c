// What the Node-API door knows of a machine: the same face for every instruction-set tier and every template instance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nestwalk {

// Where a workload's block lies.
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

// A workload made ready for the machines of one tier. What its block's tables point to must outlive it.
class Workload {
 public:
  Workload() = default;
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;
  virtual ~Workload() = default;

  // Real memory that it takes.
  std::size_t bytes = 0;
};

// What a walk needs to know of a page's way through the guest's tables: the frame of the leaf's table, and its own
// frame. Machines that walk for the same pages share it.
struct ResolvedPage {
  std::uint64_t leaf_table;
  std::uint64_t frame;
};

// Takes, in order, the pages that missed the L1 TLBs of a static run, in place of an STLB and a walker.
class MissSink {
 public:
  MissSink() = default;
  MissSink(const MissSink&) = delete;
  MissSink& operator=(const MissSink&) = delete;
  virtual ~MissSink() = default;
  // False when a walk met a table that breaks the promise of a static run.
  virtual bool take(const std::uint64_t* pages, std::uint32_t count) = 0;
};

// One simulated machine. Blocks are laid out by schema.h. All numbers were validated by the caller; simulated memory
// was not.
class Machine {
 public:
  Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  virtual ~Machine() = default;

  // False when the zones named do not lie in simulated memory, or when more tags are in use than there are numbers for.
  virtual bool load_context(const double* context) = 0;
  // Draws from a workload of its tier, which must outlive the machine or its next workload; null: from none. False when
  // memory ran out.
  virtual bool load_workload(Workload* workload) = 0;
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
  // One-pass sweeps (hardware/stack.h). A machine whose run is static gives its L1 misses away; false when it is not.
  virtual bool set_miss_sink(MissSink* sink) = 0;
  // Walks for pages that missed every TLB: counts what the walks do, no TLB and no walk itself. `resolved`: what
  // `resolve_pages` gave for them, or null. False as for MissSink.
  virtual bool walk_pages(const std::uint64_t* pages, const ResolvedPage* resolved, std::uint32_t count) = 0;
  // Whether walks depend on anything but their number, and whether they read the guest's tables.
  virtual bool walks_need_pages() const = 0;
  virtual bool walks_need_resolved() const = 0;
  virtual bool resolve_pages(const std::uint64_t* pages, std::uint32_t count, ResolvedPage* resolved) = 0;
  // Becomes what a machine of the same shape is: the state of its structures and its counters, or these alone.
  virtual bool copy_walker(Machine& other) = 0;
  virtual void copy_counters(Machine& other) = 0;
  // Counts the walks of so many pages of a machine whose walks do not need them.
  virtual void count_walks(std::uint64_t count) = 0;
  // Uses the scratch space of a machine of the same shape, which must outlive this one.
  virtual void share_scratch(Machine& other) = 0;

  // Real memory that it takes.
  std::size_t bytes = 0;
};

// All LRU geometries of an STLB over one stream of L1 misses; see hardware/stack.h.
class Stack : public MissSink {
 public:
  // What is still waiting for its walks. False as for MissSink.
  virtual bool finish() = 0;
  // STLB misses of a cell so far.
  virtual std::uint64_t misses(std::size_t cell) const = 0;
};

// A cell of a stack: entries, ways, and the machine that walks for it (null when only TLBs are counted).
struct StackCell {
  std::uint32_t entries = 0;
  std::uint32_t ways = 0;
  Machine* walker = nullptr;
};

// Each tier's factory; null when memory ran out. `memory` holds `words` 64-bit words.
using MachineFactory = Machine* (*)(const double* machine, std::uint64_t* memory, std::size_t words);

using WorkloadFactory = Workload* (*)(const WorkloadView& view);

using StackFactory = Stack* (*)(const double* machine, const StackCell* cells, std::size_t count);

Machine* make_machine_base(const double*, std::uint64_t*, std::size_t);
Machine* make_machine_avx2(const double*, std::uint64_t*, std::size_t);
Machine* make_machine_avx512(const double*, std::uint64_t*, std::size_t);

Workload* make_workload_base(const WorkloadView&);
Workload* make_workload_avx2(const WorkloadView&);
Workload* make_workload_avx512(const WorkloadView&);

Stack* make_stack_base(const double*, const StackCell*, std::size_t);
Stack* make_stack_avx2(const double*, const StackCell*, std::size_t);
Stack* make_stack_avx512(const double*, const StackCell*, std::size_t);

}  // namespace nestwalk
