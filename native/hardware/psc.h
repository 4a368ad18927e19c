// Paging-structure caches of one dimension, levels 2 to 5. Semantics: src/hardware/psc.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "setAssoc.h"

namespace nestwalk::NESTWALK_TIER {

// AND of R/W from the root down to and including the entry.
inline constexpr std::uint32_t kPathWritable = 1;
// Combined mappings: the nested mapping of the next table's page allows writes.
inline constexpr std::uint32_t kHostWritable = 2;

struct PscPayload {
  std::uint64_t table;  // Next table's frame in its own space.
  std::uint64_t host;   // Its host frame.
  std::uint32_t flags;

  bool operator==(const PscPayload&) const = default;
};

template <class Cache>
struct PscLevel {
  Cache cache;
  Buffer<PscPayload> payloads;
  bool present = false;
};

// Key of level k: the page number shifted right by 9(k-1), the owner in the top bits.
inline std::uint64_t psc_number(std::uint64_t page, std::uint32_t k) {
  return page >> (9 * (k - 1));
}
inline std::uint64_t psc_key(std::uint64_t number, std::uint64_t owner) {
  return owner << kOwnerShift | number;
}

template <class Cache>
class Psc {
 public:
  // Reads the geometry from a machine block; levels above the table's are left out.
  void allocate(const double* shapes, std::uint32_t table_levels) {
    for (std::uint32_t k = 2; k <= table_levels; k++) {
      const auto entries = static_cast<std::uint32_t>(shapes[2 * (k - 2)]);
      const auto ways = static_cast<std::uint32_t>(shapes[2 * (k - 2) + 1]);
      if (entries == 0) continue;
      levels_[k].present = true;
      levels_[k].cache.allocate(entries / ways, ways);
      levels_[k].payloads.allocate(levels_[k].cache.slots());
    }
  }

  PscLevel<Cache>& level(std::uint32_t k) { return levels_[k]; }

  void fill(std::uint32_t k, std::uint64_t page, std::uint64_t owner, PscPayload payload) {
    PscLevel<Cache>& level = levels_[k];
    if (!level.present) return;
    const std::uint64_t number = psc_number(page, k);
    const std::int32_t slot = level.cache.fill(level.cache.set_of(number), psc_key(number, owner));
    level.payloads[static_cast<std::uint32_t>(slot)] = payload;
  }

  void drop_page(std::uint64_t page, std::uint64_t owner) {
    for (std::uint32_t k = 2; k <= schema::kMaxTableLevels; k++) {
      PscLevel<Cache>& level = levels_[k];
      if (!level.present) continue;
      const std::uint64_t number = psc_number(page, k);
      const std::int32_t slot = level.cache.find(level.cache.set_of(number), psc_key(number, owner));
      if (slot >= 0) level.cache.drop(slot);
    }
  }

  void drop_owner(std::uint64_t owner) {
    for (PscLevel<Cache>& level : levels_) {
      if (level.present) level.cache.drop_owner(owner, kOwnerShift);
    }
  }

  // Drops the entries of all owners of which a predicate holds.
  template <class Predicate>
  void drop_owners(Predicate predicate) {
    for (PscLevel<Cache>& level : levels_) {
      if (level.present) level.cache.drop_if([&](std::uint64_t key) { return predicate(key >> kOwnerShift); });
    }
  }

  template <class Visit>
  void visit_owners(Visit visit) const {
    for (const PscLevel<Cache>& level : levels_) {
      if (level.present) level.cache.visit_slots([&](std::uint32_t, std::uint64_t key) { visit(key >> kOwnerShift); });
    }
  }

  void clear() {
    for (PscLevel<Cache>& level : levels_) {
      if (level.present) level.cache.clear();
    }
  }

 private:
  PscLevel<Cache> levels_[schema::kMaxTableLevels + 1];
};

}  // namespace nestwalk::NESTWALK_TIER
