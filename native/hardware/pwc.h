// The page-walk cache: single non-leaf entries by host physical address. Semantics: src/hardware/pwc.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "lruSets.h"

namespace nestwalk::NESTWALK_TIER {

class Pwc {
 public:
  void allocate(std::uint32_t entries, std::uint32_t ways, schema::PwcHolds holds) {
    present_ = true;
    holds_nested_ = holds != schema::PwcHolds::k1d;
    cache_.allocate(entries / ways, ways);
  }

  bool present() const { return present_; }
  bool holds_nested() const { return holds_nested_; }
  WideLru& cache() { return cache_; }

  // Probes for an entry by its word number (host physical address / 8); a miss fills.
  bool probe(std::uint64_t word) {
    const std::uint32_t set = cache_.set_of(word);
    const std::int32_t slot = cache_.find(set, word);
    if (slot >= 0) {
      cache_.promote(slot);
      return true;
    }
    cache_.fill(set, word);
    return false;
  }

  void clear() {
    if (present_) cache_.clear();
  }

 private:
  WideLru cache_;
  bool present_ = false;
  bool holds_nested_ = false;
};

}  // namespace nestwalk::NESTWALK_TIER
