// Replacement for the policies that go by way (plru, nru, srrip, random); lru and fifo keep an order instead, see
// lruSets.h. Semantics: src/hardware/replacement.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "philox.h"

namespace nestwalk::NESTWALK_TIER {

inline constexpr std::uint8_t kSrripFill = 2;
inline constexpr std::uint8_t kSrripVictim = 3;

class ReplacementState {
 public:
  void allocate(schema::Replacement policy, std::uint32_t sets, std::uint32_t ways, std::uint32_t array_id,
                std::uint32_t seed_low, std::uint32_t seed_high) {
    policy_ = policy;
    ways_ = ways;
    array_id_ = array_id;
    seed_low_ = seed_low;
    seed_high_ = seed_high;
    if (policy != schema::Replacement::kRandom) values_.allocate(std::size_t{sets} * ways);
  }

  bool tree() const { return policy_ == schema::Replacement::kPlru; }
  bool has_values() const { return values_.size() != 0; }
  // nru, srrip: a value for each slot; plru: node k of a set's tree at set * ways + k, 1 = victim on the right.
  std::uint8_t& value(std::uint32_t slot) { return values_[slot]; }
  std::uint8_t value(std::uint32_t slot) const { return values_[slot]; }

  void hit(std::uint32_t slot) {
    switch (policy_) {
      case schema::Replacement::kPlru:
        point_away(slot);
        break;
      case schema::Replacement::kNru:
        values_[slot] = 1;
        break;
      case schema::Replacement::kSrrip:
        values_[slot] = 0;
        break;
      default:
        break;
    }
  }

  void fill(std::uint32_t slot) {
    switch (policy_) {
      case schema::Replacement::kPlru:
        point_away(slot);
        break;
      case schema::Replacement::kNru:
        values_[slot] = 1;
        break;
      case schema::Replacement::kSrrip:
        values_[slot] = kSrripFill;
        break;
      default:
        break;
    }
  }

  // The victim's slot in a full set; `index` is the index of the access in the stream.
  std::uint32_t victim(std::uint32_t set, std::uint64_t index) {
    const std::uint32_t first = set * ways_;
    switch (policy_) {
      case schema::Replacement::kPlru:
        return first + tree_victim(first);
      case schema::Replacement::kNru:
        return not_recently_used(first);
      case schema::Replacement::kSrrip:
        return farthest(first);
      default: {
        const std::uint32_t word =
            philox_word0(static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), array_id_,
                         static_cast<std::uint32_t>(schema::Purpose::kReplacement), seed_low_, seed_high_);
        return first + below(word, ways_);
      }
    }
  }

 private:
  std::uint32_t tree_victim(std::uint32_t first) const {
    std::uint32_t node = 1;
    while (node < ways_) node = 2 * node + values_[first + node];
    return node - ways_;
  }

  void point_away(std::uint32_t slot) {
    const std::uint32_t way = slot % ways_;
    const std::uint32_t first = slot - way;
    for (std::uint32_t node = ways_ + way; node > 1; node >>= 1) {
      values_[first + (node >> 1)] = static_cast<std::uint8_t>((node & 1) ^ 1);
    }
  }

  std::uint32_t not_recently_used(std::uint32_t first) {
    for (std::uint32_t way = 0; way < ways_; way++) {
      if (values_[first + way] == 0) return first + way;
    }
    std::memset(values_.data() + first, 0, ways_);
    return first;
  }

  std::uint32_t farthest(std::uint32_t first) {
    std::uint8_t largest = 0;
    for (std::uint32_t way = 0; way < ways_; way++) {
      if (values_[first + way] > largest) largest = values_[first + way];
    }
    // Adding 1 to all until one reaches the victim's value adds the distance of the largest.
    const auto add = static_cast<std::uint8_t>(kSrripVictim - largest);
    std::uint32_t victim = first;
    for (std::uint32_t way = ways_; way-- > 0;) {
      values_[first + way] = static_cast<std::uint8_t>(values_[first + way] + add);
      if (values_[first + way] == kSrripVictim) victim = first + way;
    }
    return victim;
  }

  Buffer<std::uint8_t> values_;
  schema::Replacement policy_ = schema::Replacement::kRandom;
  std::uint32_t ways_ = 0;
  std::uint32_t array_id_ = 0;
  std::uint32_t seed_low_ = 0;
  std::uint32_t seed_high_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
