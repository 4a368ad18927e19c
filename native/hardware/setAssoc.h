// A set-associative array of keys whose replacement policy is data: what TLB arrays of the general core are made of. A
// key carries its owner (a tag or a vm, by a small number) in its top bits. Slots are found once and then named by
// number.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "lruSets.h"
#include "owners.h"
#include "replacement.h"
#include "setIndex.h"

namespace nestwalk::NESTWALK_TIER {

class SetAssoc {
 public:
  void allocate(std::uint32_t entries, std::uint32_t ways, schema::Replacement policy, schema::Indexing indexing,
                std::uint32_t array_id, std::uint32_t seed_low, std::uint32_t seed_high) {
    const std::uint32_t sets = entries / ways;
    sets_ = sets;
    ways_ = ways;
    index_ = SetIndex(sets, indexing);
    promotes_ = policy == schema::Replacement::kLru;
    if (policy == schema::Replacement::kLru || policy == schema::Replacement::kFifo) {
      layout_ = ways <= 4 ? Layout::kNarrow4 : ways <= 16 ? Layout::kNarrow16 : Layout::kWide;
      if (layout_ == Layout::kNarrow4) narrow4_.allocate(sets, ways);
      if (layout_ == Layout::kNarrow16) narrow16_.allocate(sets, ways);
      if (layout_ == Layout::kWide) wide_.allocate(sets, ways);
    } else {
      layout_ = Layout::kByWay;
      keys_.allocate(std::size_t{sets} * ways, 0xff);
      replacement_.allocate(policy, sets, ways, array_id, seed_low, seed_high);
    }
  }

  std::uint32_t slots() const {
    switch (layout_) {
      case Layout::kNarrow4:
        return narrow4_.slots();
      case Layout::kNarrow16:
        return narrow16_.slots();
      default:
        return sets_ * ways_;
    }
  }

  std::uint32_t set_of(std::uint64_t number) const { return index_(number); }
  const SetIndex& index() const { return index_; }

  std::int32_t find(std::uint32_t set, std::uint64_t key) const {
    switch (layout_) {
      case Layout::kNarrow4:
        return narrow4_.find(set, key);
      case Layout::kNarrow16:
        return narrow16_.find(set, key);
      case Layout::kWide:
        return wide_.find(set, key);
      default: {
        const std::uint32_t first = set * ways_;
        for (std::uint32_t slot = first; slot < first + ways_; slot++) {
          if (keys_[slot] == key) return static_cast<std::int32_t>(slot);
        }
        return -1;
      }
    }
  }

  void promote(std::int32_t slot) {
    if (layout_ == Layout::kByWay) {
      replacement_.hit(static_cast<std::uint32_t>(slot));
    } else if (promotes_) {
      if (layout_ == Layout::kNarrow4) {
        narrow4_.promote(slot);
      } else if (layout_ == Layout::kNarrow16) {
        narrow16_.promote(slot);
      } else {
        wide_.promote(slot);
      }
    }
  }

  std::int32_t fill(std::uint32_t set, std::uint64_t key, std::uint64_t index) {
    switch (layout_) {
      case Layout::kNarrow4:
        return narrow4_.fill(set, key);
      case Layout::kNarrow16:
        return narrow16_.fill(set, key);
      case Layout::kWide:
        return wide_.fill(set, key);
      default: {
        const std::int32_t empty = find(set, kNoKey);
        const std::uint32_t slot = empty >= 0 ? static_cast<std::uint32_t>(empty) : replacement_.victim(set, index);
        keys_[slot] = key;
        replacement_.fill(slot);
        return static_cast<std::int32_t>(slot);
      }
    }
  }

  void drop(std::int32_t slot) {
    switch (layout_) {
      case Layout::kNarrow4:
        narrow4_.drop(slot);
        break;
      case Layout::kNarrow16:
        narrow16_.drop(slot);
        break;
      case Layout::kWide:
        wide_.drop(slot);
        break;
      default:
        keys_[static_cast<std::uint32_t>(slot)] = kNoKey;
    }
  }

  void drop_key(std::uint32_t set, std::uint64_t key) {
    const std::int32_t slot = find(set, key);
    if (slot >= 0) drop(slot);
  }

  // Drops all keys of which a predicate holds.
  template <class Predicate>
  void drop_if(Predicate predicate) {
    switch (layout_) {
      case Layout::kNarrow4:
        narrow4_.drop_if(predicate);
        break;
      case Layout::kNarrow16:
        narrow16_.drop_if(predicate);
        break;
      case Layout::kWide:
        wide_.drop_if(predicate);
        break;
      default:
        for (std::size_t slot = 0; slot < keys_.size(); slot++) {
          if (keys_[slot] != kNoKey && predicate(keys_[slot])) keys_[slot] = kNoKey;
        }
    }
  }

  void drop_owner(std::uint64_t owner) {
    switch (layout_) {
      case Layout::kNarrow4:
        narrow4_.drop_owner(owner, kOwnerShift);
        break;
      case Layout::kNarrow16:
        narrow16_.drop_owner(owner, kOwnerShift);
        break;
      default:
        drop_if([owner](std::uint64_t key) { return key >> kOwnerShift == owner; });
    }
  }

  template <class Visit>
  void visit_slots(Visit visit) const {
    switch (layout_) {
      case Layout::kNarrow4:
        narrow4_.visit_slots(visit);
        break;
      case Layout::kNarrow16:
        narrow16_.visit_slots(visit);
        break;
      case Layout::kWide:
        wide_.visit_slots(visit);
        break;
      default:
        for (std::uint32_t slot = 0; slot < keys_.size(); slot++) {
          if (keys_[slot] != kNoKey) visit(slot, keys_[slot]);
        }
    }
  }

  void clear() {
    switch (layout_) {
      case Layout::kNarrow4:
        narrow4_.clear();
        break;
      case Layout::kNarrow16:
        narrow16_.clear();
        break;
      case Layout::kWide:
        wide_.clear();
        break;
      default:
        keys_.fill(0xff);
    }
  }

  // Visits the slots of a set that hold something, most recent first; lru and fifo only.
  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    if (layout_ == Layout::kNarrow4) {
      narrow4_.visit(set, visit);
    } else if (layout_ == Layout::kNarrow16) {
      narrow16_.visit(set, visit);
    } else {
      wide_.visit(set, visit);
    }
  }

  // Makes n keys the whole contents of an empty set, most recent first; lru and fifo only.
  template <class Placed>
  void place(std::uint32_t set, const std::uint64_t* keys, std::uint32_t n, Placed placed) {
    if (layout_ == Layout::kNarrow4) {
      narrow4_.place(set, keys, n, placed);
    } else if (layout_ == Layout::kNarrow16) {
      narrow16_.place(set, keys, n, placed);
    } else {
      wide_.place(set, keys, n, placed);
    }
  }

  // Calls `use` with the sets themselves where they are narrow lru ones; false where they are not.
  template <class Use>
  bool with_narrow(Use use) {
    if (!promotes_ || (layout_ != Layout::kNarrow4 && layout_ != Layout::kNarrow16)) return false;
    if (layout_ == Layout::kNarrow4) {
      use(narrow4_);
    } else {
      use(narrow16_);
    }
    return true;
  }

  bool ordered() const { return layout_ != Layout::kByWay; }
  bool lru() const { return ordered() && promotes_; }
  std::uint32_t sets() const { return sets_; }
  std::uint32_t ways() const { return ways_; }
  // By-way layouts only: key and state of a slot.
  std::uint64_t& key(std::uint32_t slot) { return keys_[slot]; }
  std::uint64_t key(std::uint32_t slot) const { return keys_[slot]; }
  ReplacementState& replacement() { return replacement_; }
  const ReplacementState& replacement() const { return replacement_; }

 private:
  enum class Layout : std::uint8_t { kNarrow4, kNarrow16, kWide, kByWay };

  Layout layout_ = Layout::kByWay;
  bool promotes_ = false;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  SetIndex index_;
  NarrowLru<4> narrow4_;
  NarrowLru<16> narrow16_;
  WideLru wide_;
  Buffer<std::uint64_t> keys_;
  ReplacementState replacement_;
};

}  // namespace nestwalk::NESTWALK_TIER
