// How a TLB array picks the set of a page by its number. Semantics: src/hardware/setIndex.ts.
#pragma once

#include <bit>
#include <cstdint>

#include "../schema.h"

namespace nestwalk::NESTWALK_TIER {

// One form for every indexing, without a branch: the low bits XOR those from `fold_` on. Numbers have less than 63
// bits, so that folding there is no folding.
class SetIndex {
 public:
  SetIndex() = default;
  SetIndex(std::uint32_t sets, schema::Indexing indexing)
      : mask_(sets - 1),
        fold_(indexing == schema::Indexing::kXor ? static_cast<std::uint32_t>(std::countr_zero(sets)) : kNoFold) {}

  std::uint32_t operator()(std::uint64_t number) const {
    return static_cast<std::uint32_t>(number ^ number >> fold_) & mask_;
  }

 private:
  static constexpr std::uint32_t kNoFold = 63;

  std::uint32_t mask_ = 0;
  std::uint32_t fold_ = kNoFold;
};

// The indexing of an array's shape in a machine block.
inline schema::Indexing indexing_of(const double* shape) {
  return static_cast<schema::Indexing>(static_cast<int>(shape[4]));
}

}  // namespace nestwalk::NESTWALK_TIER
