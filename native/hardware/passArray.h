// An lru array of the static way. While a core takes it nothing can fault, and the entries that are looked for are all
// of one owner and one size, so an array needs neither payloads nor tags: its keys, in order, are its whole state. A
// batch can then pass over one structure after the other. Up to 16 ways a look-up has no branch on hit or miss; with
// more, a hash table beats comparing them all. Entries that nobody looks for, of other owners or sizes, are parked:
// they only take places until they are evicted.
#pragma once

#include <cstdint>
#include <cstring>

#include "../schema.h"
#include "lruSets.h"
#include "setIndex.h"

namespace nestwalk::NESTWALK_TIER {

// Keys of any number of ways, with the face of OrderedSets.
class HashedSets {
 public:
  void allocate(std::uint32_t sets, std::uint32_t ways) { lru_.allocate(sets, ways); }

  bool access(std::uint32_t set, std::uint64_t key) {
    const std::int32_t slot = lru_.find(set, key);
    if (slot < 0) {
      lru_.fill(set, key);
      return false;
    }
    lru_.promote(slot);
    return true;
  }

  HashedSets& handle() { return *this; }

  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    lru_.visit(set, [&](std::uint32_t, std::uint64_t key) { visit(key); });
  }

  void drop(std::uint32_t set, std::uint64_t key) {
    const std::int32_t slot = lru_.find(set, key);
    if (slot >= 0) lru_.drop(slot);
  }

  template <class Visit>
  void memory(Visit visit) {
    lru_.memory(visit);
  }

  void clear() { lru_.clear(); }

 private:
  WideLru lru_;
};

class PassArray {
 public:
  // Numbers stay below `bound`. An array that has this shape already is taken into use as it was left.
  void allocate(std::uint32_t entries, std::uint32_t ways, std::uint64_t bound,
                schema::Indexing indexing = schema::Indexing::kLow) {
    present_ = true;
    const bool narrow = bound <= kNarrowParked;
    if (sets_ == entries / ways && ways_ == ways && indexing_ == indexing && narrow_keys_ == narrow) return;
    sets_ = entries / ways;
    ways_ = ways;
    index_ = SetIndex(sets_, indexing);
    lanes_ = ways <= 4 ? 4 : ways <= 8 ? 8 : ways <= kMostOrderedWays ? 16 : 0;
    narrow_keys_ = narrow;
    indexing_ = indexing;
    with(*this, [&]<class Key>(auto& sets, Key) { sets.allocate(sets_, ways_); });
  }

  bool present() const { return present_; }
  // Takes the array out of use.
  void retire() { present_ = false; }
  std::uint32_t sets() const { return sets_; }
  std::uint32_t ways() const { return ways_; }

  // The key of the i-th parked entry, and which it is.
  std::uint64_t parked_key(std::uint32_t i) const { return (narrow_keys_ ? kNarrowParked : kWideParked) + i; }
  bool is_parked(std::uint64_t key) const { return key >= parked_key(0); }
  std::uint32_t parked(std::uint64_t key) const { return static_cast<std::uint32_t>(key - parked_key(0)); }

  // Makes n keys, numbers or those of parked entries, the contents of an empty set, most recent first.
  void place(std::uint32_t set, const std::uint64_t* keys, std::uint32_t n) {
    with(*this, [&]<class Key>(auto& sets, Key) {
      if constexpr (requires { sets.put(0, 0, Key{}); }) {
        for (std::uint32_t i = 0; i < n; i++) sets.put(set, i, static_cast<Key>(keys[i]));
      } else {
        for (std::uint32_t i = n; i-- > 0;) sets.access(set, keys[i]);
      }
    });
  }

  // All that it remembers: `visit` is given each piece of memory and its bytes.
  template <class Visit>
  void memory(Visit visit) {
    if (present_) with(*this, [&]<class Key>(auto& sets, Key) { sets.memory(visit); });
  }

  // Calls `use` with a function that looks a number up (a hit becomes the most recent, a miss is filled). The layout is
  // chosen once a batch, never once an access. The indexing is one form for all: two loops that differ in it take more
  // time than its shift.
  template <class Use>
  void pass(Use use) {
    with(*this, [&]<class Key>(auto& sets, Key) {
      const SetIndex index = index_;
      auto&& handle = sets.handle();
      use([&handle, index](std::uint64_t number) { return handle.access(index(number), static_cast<Key>(number)); });
    });
  }

  // Looks up n numbers (the masked bits of each, shifted right) in order and says for each whether it hit. For walk
  // caches, whose sets are picked by the low bits.
  void look_up(const std::uint64_t* numbers, std::uint32_t n, std::uint64_t bits, unsigned shift, std::uint8_t* hits) {
    const std::uint32_t mask = sets_ - 1;
    // By value: a store to `hits` could change anything that the loop had to look up in memory.
    with(*this, [=]<class Key>(auto& sets, Key) {
      if constexpr (requires { sets.holds(0, Key{}); }) {
        if (mask == 0) return look_up_single<Key>(sets, numbers, n, bits, shift, hits);
      }
      auto&& handle = sets.handle();
      const std::uint64_t* const from = numbers;
      std::uint8_t* const to = hits;
      const std::uint64_t low = bits;
      const unsigned right = shift;
      const std::uint32_t set_mask = mask;
      const std::uint32_t end = n;
      for (std::uint32_t i = 0; i < end; i++) {
        const std::uint64_t number = (from[i] & low) >> right;
        to[i] = handle.access(static_cast<std::uint32_t>(number) & set_mask, static_cast<Key>(number));
      }
    });
  }

  // Visits the numbers of a set, most recent first.
  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    with(*this, [&]<class Key>(auto& sets, Key) { sets.visit(set, [&](Key key) { visit(std::uint64_t{key}); }); });
  }

  // Drops a number if it is there.
  void drop(std::uint64_t number) {
    if (!present_) return;
    with(*this, [&]<class Key>(auto& sets, Key) { sets.drop(index_(number), static_cast<Key>(number)); });
  }

  void clear() {
    if (present_) with(*this, []<class Key>(auto& sets, Key) { sets.clear(); });
  }

 private:
  // Shortest run of hits that is worth reordering for at the end, and how many look-ups go one by one after a miss.
  static constexpr std::uint32_t kShortRun = 8;
  static constexpr std::uint32_t kOneByOne = 32;

  // One set: each look-up would wait for the one before. But while all hit, the contents stay and only their order
  // changes, and of the order only the last one counts.
  template <class Key, class Sets>
  static void look_up_single(Sets& sets, const std::uint64_t* numbers, std::uint32_t n, std::uint64_t bits,
                             unsigned shift, std::uint8_t* hits) {
    const auto key = [=](std::uint32_t i) { return static_cast<Key>((numbers[i] & bits) >> shift); };
    auto&& handle = sets.handle();
    std::uint32_t i = 0;
    while (i < n) {
      std::uint32_t end = i;
      while (end < n && sets.holds(0, key(end))) end++;
      if (end - i >= kShortRun) {
        reorder<Key>(sets, key, i, end);
        std::memset(hits + i, 1, end - i);
        i = end;
      }
      const std::uint32_t stop = n - i < kOneByOne ? n : i + kOneByOne;
      for (; i < stop; i++) hits[i] = handle.access(0, key(i));
    }
  }

  // Makes the order what it is after hits on numbers [begin, end): latest first, then those not hit in their old order.
  template <class Key, class Sets, class KeyOf>
  static void reorder(Sets& sets, KeyOf key_of, std::uint32_t begin, std::uint32_t end) {
    Key latest[kMostOrderedWays];
    std::uint32_t found = 0;
    std::uint32_t held = 0;
    sets.visit(0, [&](Key) { held++; });
    for (std::uint32_t i = end; i-- > begin && found < held;) {
      const Key key = key_of(i);
      bool known = false;
      for (std::uint32_t k = 0; k < found; k++) known |= latest[k] == key;
      latest[found] = key;
      found += !known;
    }
    for (std::uint32_t k = found; k-- > 0;) sets.access(0, latest[k]);
  }

  // Calls `use` with the layout in use and a value of its key's type.
  template <class Self, class Use>
  static void with(Self& self, Use use) {
    if (self.lanes_ == 0) return use(self.hashed_, std::uint64_t{});
    if (self.narrow_keys_) {
      if (self.lanes_ == 4) return use(self.narrow4_, std::uint32_t{});
      if (self.lanes_ == 8) return use(self.narrow8_, std::uint32_t{});
      return use(self.narrow16_, std::uint32_t{});
    }
    if (self.lanes_ == 4) return use(self.wide4_, std::uint64_t{});
    return use(self.wide16_, std::uint64_t{});
  }

  // Ways that are kept in order in the set itself.
  static constexpr std::uint32_t kMostOrderedWays = 16;
  // First key of a parked entry, in keys of 32 and of 64 bits.
  static constexpr std::uint64_t kNarrowParked = std::uint64_t{1} << 31;
  static constexpr std::uint64_t kWideParked = std::uint64_t{1} << 62;

  bool present_ = false;
  bool narrow_keys_ = false;
  unsigned lanes_ = 0;  // 0: hashed.
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  schema::Indexing indexing_ = schema::Indexing::kLow;
  SetIndex index_;
  OrderedSets<std::uint32_t, 4> narrow4_;
  OrderedSets<std::uint32_t, 8> narrow8_;
  OrderedSets<std::uint32_t, 16> narrow16_;
  OrderedSets<std::uint64_t, 4> wide4_;
  OrderedSets<std::uint64_t, 16> wide16_;
  HashedSets hashed_;
};

}  // namespace nestwalk::NESTWALK_TIER
