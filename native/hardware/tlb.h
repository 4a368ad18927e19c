// TLBs of the general core: arrays keyed by (tag, page size, virtual page number at that size), grouped in sides. TLBs
// of static runs are in passArray.h. Semantics: src/hardware/tlb.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "setAssoc.h"

namespace nestwalk::NESTWALK_TIER {

// Payload flags.
inline constexpr std::uint32_t kWritable = 1;
inline constexpr std::uint32_t kDirty = 2;

// Key of a page: its number at its size, the size in the low two bits, the owner in the top ones.
inline std::uint64_t key_of(std::uint64_t number, std::uint32_t size, std::uint64_t owner) {
  return owner << kOwnerShift | number << 2 | size;
}

// Number and size of the page that a key is of.
inline std::uint64_t number_of_key(std::uint64_t key) {
  return (key & kNumberMask) >> 2;
}
inline std::uint32_t size_of_key(std::uint64_t key) {
  return static_cast<std::uint32_t>(key & 3);
}

// Pages by size: shift between 4 KiB page numbers and those of a size.
inline constexpr unsigned size_shift(std::uint32_t size) {
  return 9 * size;
}

struct TlbPayload {
  std::uint64_t frame;  // 4 KiB frame number of the page's first byte.
  std::uint32_t flags;

  bool operator==(const TlbPayload&) const = default;
};

struct TlbArray {
  SetAssoc cache;
  Buffer<TlbPayload> payloads;
  std::uint32_t size_mask = 0;

  void allocate(const double* shape, std::uint32_t array_id, std::uint32_t seed_low, std::uint32_t seed_high) {
    cache.allocate(static_cast<std::uint32_t>(shape[0]), static_cast<std::uint32_t>(shape[1]),
                   static_cast<schema::Replacement>(static_cast<int>(shape[3])), indexing_of(shape), array_id, seed_low,
                   seed_high);
    payloads.allocate(cache.slots());
    size_mask = static_cast<std::uint32_t>(shape[2]);
  }
};

struct TlbHit {
  TlbArray* array;
  std::int32_t slot;
  std::uint32_t size;
};

class TlbSide {
 public:
  // Reads `count` arrays from a machine block; array ids count on from `first_id`.
  void allocate(const double* shapes, std::uint32_t count, std::uint32_t first_id, std::uint32_t seed_low,
                std::uint32_t seed_high) {
    count_ = count;
    for (std::uint32_t i = 0; i < count; i++) {
      arrays_[i].allocate(shapes + i * schema::kArraySlots, first_id + i, seed_low, seed_high);
      for (std::uint32_t size = 0; size < schema::kPageSizes; size++) {
        if (arrays_[i].size_mask >> size & 1) of_size_[size] = &arrays_[i];
      }
    }
  }

  // Sizes that were never filled are not looked for.
  bool find(std::uint64_t page, std::uint64_t owner, TlbHit& hit) {
    for (std::uint32_t i = 0; i < look_count_; i++) {
      const auto [array, size] = looks_[i];
      const std::uint64_t number = page >> size_shift(size);
      const std::int32_t slot = array->cache.find(array->cache.set_of(number), key_of(number, size, owner));
      if (slot >= 0) {
        hit = {array, slot, size};
        return true;
      }
    }
    return false;
  }

  void fill(std::uint64_t page, std::uint32_t size, std::uint64_t owner, TlbPayload payload, std::uint64_t index) {
    TlbArray* array = of_size_[size];
    if (array == nullptr) return;
    if ((filled_sizes_ >> size & 1) == 0) expect(1u << size);
    const std::uint64_t number = page >> size_shift(size);
    const std::int32_t slot = array->cache.fill(array->cache.set_of(number), key_of(number, size, owner), index);
    array->payloads[static_cast<std::uint32_t>(slot)] = payload;
  }

  void drop(std::uint64_t page, std::uint32_t size, std::uint64_t owner) {
    TlbArray* array = of_size_[size];
    if (array == nullptr) return;
    const std::uint64_t number = page >> size_shift(size);
    array->cache.drop_key(array->cache.set_of(number), key_of(number, size, owner));
  }

  void drop_page(std::uint64_t page, std::uint64_t owner) {
    for (std::uint32_t size = 0; size < schema::kPageSizes; size++) drop(page, size, owner);
  }

  void drop_tag(std::uint64_t owner) {
    for (std::uint32_t i = 0; i < count_; i++) arrays_[i].cache.drop_owner(owner);
  }

  // Drops the entries of all tags of which a predicate holds.
  template <class Predicate>
  void drop_tags(Predicate predicate) {
    for (std::uint32_t i = 0; i < count_; i++) {
      arrays_[i].cache.drop_if([&](std::uint64_t key) { return predicate(key >> kOwnerShift); });
    }
  }

  template <class Visit>
  void visit_owners(Visit visit) const {
    for (std::uint32_t i = 0; i < count_; i++) {
      arrays_[i].cache.visit_slots([&](std::uint32_t, std::uint64_t key) { visit(key >> kOwnerShift); });
    }
  }

  void clear() {
    for (std::uint32_t i = 0; i < count_; i++) arrays_[i].cache.clear();
  }

  // The array that holds a page size, or null.
  TlbArray* of_size(std::uint32_t size) { return of_size_[size]; }

  std::uint32_t count() const { return count_; }
  TlbArray& array(std::uint32_t i) { return arrays_[i]; }

  // One look of a side: an array, and a page size that it holds.
  struct Look {
    TlbArray* array;
    std::uint32_t size;
  };

  // The only look that can hit, or null.
  const Look* only_look() const { return look_count_ == 1 ? &looks_[0] : nullptr; }

  // Sizes, as bits, that are to be looked for from now on, too.
  void expect(std::uint32_t sizes) {
    filled_sizes_ |= sizes;
    look_count_ = 0;
    for (std::uint32_t i = 0; i < count_; i++) {
      for (std::uint32_t size = 0; size < schema::kPageSizes; size++) {
        if ((arrays_[i].size_mask & filled_sizes_) >> size & 1) looks_[look_count_++] = {&arrays_[i], size};
      }
    }
  }

 private:
  TlbArray arrays_[schema::kArraysPerSide];
  TlbArray* of_size_[schema::kPageSizes] = {};
  std::uint32_t count_ = 0;
  // What is looked for, in order: arrays as they are configured, smallest size first.
  Look looks_[schema::kPageSizes];
  std::uint32_t look_count_ = 0;
  std::uint32_t filled_sizes_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
