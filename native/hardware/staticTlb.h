// TLBs of static runs. Nothing can fault, every entry is writable and dirty and of one size, so an array needs neither
// payloads nor tags, and a level can pass over a whole batch before the next one sees what it missed. A pass has no branch
// on hit or miss. Only lru arrays of at most 16 ways are laid out so; the core takes the general arrays for others.
#pragma once

#include <cstdint>

#include "lruSets.h"

namespace nestwalk::NESTWALK_TIER {

inline constexpr std::uint32_t kStaticMaxWays = 16;

class StaticTlb {
 public:
  // `shift` turns a 4 KiB page number into the number at the run's page size; `narrow_keys`: numbers fit 32 bits.
  void allocate(std::uint32_t entries, std::uint32_t ways, unsigned shift, bool narrow_keys) {
    present_ = true;
    shift_ = shift;
    sets_ = entries / ways;
    ways_ = ways;
    lanes_ = ways <= 4 ? 4 : ways <= 8 ? 8 : 16;
    narrow_keys_ = narrow_keys;
    with_sets(*this, [&](auto& sets) { sets.allocate(sets_, ways_); });
  }

  bool present() const { return present_; }
  std::uint32_t sets() const { return sets_; }
  std::uint32_t ways() const { return ways_; }
  unsigned shift() const { return shift_; }

  // Looks up n pages in order; writes those that missed to `misses` (which may be `pages`) and returns their number.
  std::uint32_t pass(const std::uint64_t* pages, std::uint32_t n, std::uint64_t* misses) {
    std::uint32_t missed = 0;
    with_sets(*this, [&](auto& sets) {
      using Sets = std::remove_reference_t<decltype(sets)>;
      using Key = decltype(sets.key(0, 0));
      const std::uint32_t mask = sets_ - 1;
      const unsigned shift = shift_;
      std::uint32_t out = 0;
      Sets& array = sets;
      for (std::uint32_t i = 0; i < n; i++) {
        const std::uint64_t page = pages[i];
        const std::uint64_t number = page >> shift;
        const bool hit = array.access(static_cast<std::uint32_t>(number) & mask, static_cast<Key>(number));
        misses[out] = page;
        out += !hit;
      }
      missed = out;
    });
    return missed;
  }

  // The i-th most recent page number of a set, or false.
  bool entry(std::uint32_t set, std::uint32_t i, std::uint64_t& number) const {
    bool valid = false;
    with_sets(*this, [&](auto& sets) {
      const auto key = sets.key(set, i);
      valid = key != static_cast<decltype(key)>(~std::uint64_t{0});
      number = key;
    });
    return valid;
  }

  void set_entry(std::uint32_t set, std::uint32_t i, std::uint64_t number) {
    with_sets(*this, [&](auto& sets) { sets.set_key(set, i, static_cast<decltype(sets.key(0, 0))>(number)); });
  }

  void clear() {
    with_sets(*this, [](auto& sets) { sets.clear(); });
  }

 private:
  // Calls `use` with the one layout in use: chosen once a batch, never an access.
  template <class Self, class Use>
  static void with_sets(Self& self, Use use) {
    if (self.narrow_keys_) {
      if (self.lanes_ == 4) return use(self.narrow4_);
      if (self.lanes_ == 8) return use(self.narrow8_);
      return use(self.narrow16_);
    }
    if (self.lanes_ == 4) return use(self.wide4_);
    if (self.lanes_ == 8) return use(self.wide8_);
    return use(self.wide16_);
  }

  bool present_ = false;
  bool narrow_keys_ = false;
  unsigned shift_ = 0;
  unsigned lanes_ = 0;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  OrderedSets<std::uint32_t, 4> narrow4_;
  OrderedSets<std::uint32_t, 8> narrow8_;
  OrderedSets<std::uint32_t, 16> narrow16_;
  OrderedSets<std::uint64_t, 4> wide4_;
  OrderedSets<std::uint64_t, 8> wide8_;
  OrderedSets<std::uint64_t, 16> wide16_;
};

}  // namespace nestwalk::NESTWALK_TIER
