// The data caches as the walker sees them, from nearest to farthest. Semantics: src/hardware/pteCaches.ts.
#pragma once

#include <bit>
#include <cstdint>

#include "../schema.h"
#include "lruSets.h"

namespace nestwalk::NESTWALK_TIER {

// One cache: keys in the sets themselves up to 32 ways, a hash table beyond. Lines fit 32 bits for host addresses below
// 256 GiB and lines of 64 bytes; the core says whether they do.
class PteCache {
 public:
  void allocate(std::uint32_t sets, std::uint32_t ways, std::uint32_t line_bytes, bool narrow_keys) {
    sets_ = sets;
    ways_ = ways;
    line_bytes_ = line_bytes;
    line_shift_ = std::has_single_bit(line_bytes) ? static_cast<unsigned>(std::countr_zero(line_bytes)) : kNoShift;
    set_mask_ = std::has_single_bit(sets) ? sets - 1 : 0;
    power_of_two_ = std::has_single_bit(sets);
    layout_ = ways <= 16                  ? (narrow_keys ? Layout::kNarrow16 : Layout::kWide16)
              : ways <= 32 && narrow_keys ? Layout::kNarrow32
                                          : Layout::kHash;
    if (layout_ == Layout::kNarrow16) narrow16_.allocate(sets, ways);
    if (layout_ == Layout::kWide16) wide16_.allocate(sets, ways);
    if (layout_ == Layout::kNarrow32) narrow32_.allocate(sets, ways);
    if (layout_ == Layout::kHash) hash_.allocate(sets, ways);
  }

  // Looks the line of a host physical address up; a miss fills it.
  [[gnu::always_inline]] bool access(std::uint64_t hpa) {
    const std::uint64_t line = line_shift_ != kNoShift ? hpa >> line_shift_ : hpa / line_bytes_;
    const std::uint32_t set = set_of(line);
    switch (layout_) {
      case Layout::kNarrow16:
        return narrow16_.access(set, static_cast<std::uint32_t>(line));
      case Layout::kWide16:
        return wide16_.access(set, line);
      case Layout::kNarrow32:
        return narrow32_.access(set, static_cast<std::uint32_t>(line));
      default: {
        const std::int32_t slot = hash_.find(set, line);
        if (slot < 0) {
          hash_.fill(set, line);
          return false;
        }
        hash_.promote(slot);
        return true;
      }
    }
  }

  // Fetches the tags of the set that a host physical address belongs to, where there are too many to be near. Inlined
  // always, or GCC drops it (core.h).
  [[gnu::always_inline]] void prefetch(std::uint64_t hpa) const {
    if (layout_ != Layout::kNarrow16 || sets_ < kFarSets) return;
    __builtin_prefetch(narrow16_.set(set_of(line_shift_ != kNoShift ? hpa >> line_shift_ : hpa / line_bytes_)), 1);
  }

  std::uint32_t sets() const { return sets_; }
  std::uint32_t ways() const { return ways_; }

  // Visits the lines of a set, most recent first.
  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    if (layout_ == Layout::kHash) {
      hash_.visit(set, [&](std::uint32_t, std::uint64_t key) { visit(key); });
      return;
    }
    if (layout_ == Layout::kNarrow16) narrow16_.visit(set, visit);
    if (layout_ == Layout::kNarrow32) narrow32_.visit(set, visit);
    if (layout_ == Layout::kWide16) wide16_.visit(set, visit);
  }

  void clear() {
    narrow16_.clear();
    wide16_.clear();
    narrow32_.clear();
    if (layout_ == Layout::kHash) hash_.clear();
  }

  // Fills a line as the most recent of a set.
  void fill(std::uint32_t set, std::uint64_t line) {
    if (layout_ == Layout::kNarrow16) narrow16_.access(set, static_cast<std::uint32_t>(line));
    if (layout_ == Layout::kNarrow32) narrow32_.access(set, static_cast<std::uint32_t>(line));
    if (layout_ == Layout::kWide16) wide16_.access(set, line);
    if (layout_ == Layout::kHash) hash_.fill(set, line);
  }

 private:
  enum class Layout : std::uint8_t { kNarrow16, kWide16, kNarrow32, kHash };
  static constexpr unsigned kNoShift = 64;
  // Sets of 64 bytes of tags that no longer fit the simulator's own nearest caches.
  static constexpr std::uint32_t kFarSets = 1024;

  std::uint32_t set_of(std::uint64_t line) const {
    return power_of_two_ ? static_cast<std::uint32_t>(line) & set_mask_ : static_cast<std::uint32_t>(line % sets_);
  }

  Layout layout_ = Layout::kHash;
  bool power_of_two_ = true;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  std::uint32_t set_mask_ = 0;
  std::uint32_t line_bytes_ = 64;
  unsigned line_shift_ = 6;
  OrderedSets<std::uint32_t, 16> narrow16_;
  OrderedSets<std::uint64_t, 16> wide16_;
  OrderedSets<std::uint32_t, 32> narrow32_;
  WideLru hash_;
};

class PteCaches {
 public:
  // `host_frame_bound`: host frame numbers stay below it.
  void allocate(const double* machine) {
    count_ = static_cast<std::uint32_t>(machine[schema::kMachineCacheCount]);
    const auto bound = static_cast<std::uint64_t>(machine[schema::kMachineHostFrameBound]);
    for (std::uint32_t i = 0; i < count_; i++) {
      const double* shape = machine + schema::kMachineCaches + i * schema::kCacheSlots;
      const auto line = static_cast<std::uint32_t>(shape[2]);
      const bool narrow = (bound << 12) / line < ~std::uint32_t{0};
      caches_[i].allocate(static_cast<std::uint32_t>(shape[0]), static_cast<std::uint32_t>(shape[1]), line, narrow);
    }
  }

  std::uint32_t count() const { return count_; }
  PteCache& cache(std::uint32_t i) { return caches_[i]; }

  [[gnu::always_inline]] void prefetch(std::uint64_t hpa) const {
    for (std::uint32_t i = 0; i < count_; i++) caches_[i].prefetch(hpa);
  }

  // The level that serves a host physical address: 0 is the nearest, `count()` memory.
  [[gnu::always_inline]] std::uint32_t access(std::uint64_t hpa) {
    std::uint32_t level = 0;
    while (level < count_ && !caches_[level].access(hpa)) level++;
    return level;
  }

 private:
  PteCache caches_[schema::kMaxCaches];
  std::uint32_t count_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
