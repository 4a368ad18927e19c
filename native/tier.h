// One instruction-set tier: the whole core compiled once more, in a namespace of its own, with another set of vector
// instructions. Each core_<tier>.cc defines NESTWALK_TIER and the names of its factories and includes this file.
#include <new>

#include "hardware/core.h"
#include "hardware/stack.h"

namespace nestwalk {

namespace NESTWALK_TIER {

template <class Cache, bool kNested, bool kExtras>
Machine* make(const double* machine, std::uint64_t* memory, std::size_t words) {
  allocation_failed = false;
  const std::size_t before = allocated_bytes;
  auto* made = new (std::nothrow) Core<Cache, kNested, kExtras>(machine, memory, words);
  if (made != nullptr && allocation_failed) {
    delete made;
    return nullptr;
  }
  if (made != nullptr) made->bytes = sizeof *made + allocated_bytes - before;
  return made;
}

template <class Cache>
Machine* make_with(const double* machine, std::uint64_t* memory, std::size_t words) {
  const bool nested = machine[schema::kMachineNested] == 1;
  const bool extras = machine[schema::kMachineCacheCount] > 0 || machine[schema::kMachinePwcEntries] > 0 ||
                      machine[schema::kMachineUnique] == 1 || machine[schema::kMachineDataThroughCaches] == 1;
  if (nested) {
    return extras ? make<Cache, true, true>(machine, memory, words) : make<Cache, true, false>(machine, memory, words);
  }
  return extras ? make<Cache, false, true>(machine, memory, words) : make<Cache, false, false>(machine, memory, words);
}

inline Workload* make_workload(const WorkloadView& view) {
  allocation_failed = false;
  const std::size_t before = allocated_bytes;
  auto* made = new (std::nothrow) DecodedWorkload;
  if (made == nullptr) return nullptr;
  const auto components = static_cast<std::uint32_t>(view.component_slots / schema::kComponentSlots);
  if (!made->generator.init(view.components, components, view.links, view.link_count, view.tables, view.table_count,
                            view.seed_low, view.seed_high) ||
      allocation_failed) {
    delete made;
    return nullptr;
  }
  made->bytes = sizeof *made + allocated_bytes - before;
  return made;
}

// The most ways of any PSC, nested PSC or nested TLB: what decides their layout.
inline std::uint32_t most_ways(const double* machine) {
  double most = machine[schema::kMachineNtlbEntries] > 0 ? machine[schema::kMachineNtlbWays] : 0;
  for (std::size_t k = 0; k < 4; k++) {
    for (const std::size_t first : {schema::kMachinePsc, schema::kMachineNestedPsc}) {
      const double* shape = machine + first + 2 * k;
      if (shape[0] > 0 && shape[1] > most) most = shape[1];
    }
  }
  return static_cast<std::uint32_t>(most);
}

}  // namespace NESTWALK_TIER

Machine* NESTWALK_FACTORY(const double* machine, std::uint64_t* memory, std::size_t words) {
  namespace tier = NESTWALK_TIER;
  const std::uint32_t ways = tier::most_ways(machine);
  if (ways <= tier::NarrowLru<4>::kMaxWays) return tier::make_with<tier::NarrowLru<4>>(machine, memory, words);
  if (ways <= tier::NarrowLru<16>::kMaxWays) return tier::make_with<tier::NarrowLru<16>>(machine, memory, words);
  return tier::make_with<tier::WideLru>(machine, memory, words);
}

Workload* NESTWALK_WORKLOAD_FACTORY(const WorkloadView& view) {
  return NESTWALK_TIER::make_workload(view);
}

Stack* NESTWALK_STACK_FACTORY(const double* machine, const StackCell* cells, std::size_t count) {
  return NESTWALK_TIER::make_stack(machine, cells, count);
}

}  // namespace nestwalk
