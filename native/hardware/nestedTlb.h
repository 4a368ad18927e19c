// The nested TLB: GPA to HPA, used inside 2-D walks. Semantics: src/hardware/nestedTlb.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

template <class Cache>
class NestedTlb {
 public:
  void allocate(std::uint32_t entries, std::uint32_t ways, bool tables_only) {
    present_ = true;
    tables_only_ = tables_only;
    cache_.allocate(entries / ways, ways);
    payloads_.allocate(cache_.slots());
  }

  bool present() const { return present_; }
  bool tables_only() const { return tables_only_; }
  Cache& cache() { return cache_; }
  Buffer<TlbPayload>& payloads() { return payloads_; }
  TlbPayload& payload(std::int32_t slot) { return payloads_[static_cast<std::uint32_t>(slot)]; }

  // The slot of the first hit, smallest size first, or -1. Sizes never filled are not looked for.
  std::int32_t find(std::uint64_t gpa_frame, std::uint64_t vm, std::uint32_t& size) {
    for (std::uint32_t s = 0; s < schema::kPageSizes; s++) {
      if ((filled_sizes_ >> s & 1) == 0) continue;
      const std::uint64_t number = gpa_frame >> size_shift(s);
      const std::int32_t slot = cache_.find(cache_.set_of(number), key_of(number, s, vm));
      if (slot >= 0) {
        size = s;
        return slot;
      }
    }
    return -1;
  }

  void fill(std::uint64_t number, std::uint32_t size, std::uint64_t vm, TlbPayload payload) {
    filled_sizes_ |= 1u << size;
    const std::int32_t slot = cache_.fill(cache_.set_of(number), key_of(number, size, vm));
    payloads_[static_cast<std::uint32_t>(slot)] = payload;
  }

  void expect_size(std::uint32_t size) { filled_sizes_ |= 1u << size; }
  // A loaded state may hold every size.
  void expect_all_sizes() { filled_sizes_ = (1u << schema::kPageSizes) - 1; }

  void drop(std::uint64_t gpa_frame, std::uint32_t size, std::uint64_t vm) {
    const std::uint64_t number = gpa_frame >> size_shift(size);
    const std::int32_t slot = cache_.find(cache_.set_of(number), key_of(number, size, vm));
    if (slot >= 0) cache_.drop(slot);
  }

  void drop_page(std::uint64_t gpa_frame, std::uint64_t vm) {
    for (std::uint32_t size = 0; size < schema::kPageSizes; size++) drop(gpa_frame, size, vm);
  }

  void drop_owner(std::uint64_t vm) {
    if (present_) cache_.drop_owner(vm, kOwnerShift);
  }

  void clear() {
    if (present_) cache_.clear();
  }

  template <class Visit>
  void visit_owners(Visit visit) const {
    if (present_) cache_.visit_slots([&](std::uint32_t, std::uint64_t key) { visit(key >> kOwnerShift); });
  }

 private:
  Cache cache_;
  Buffer<TlbPayload> payloads_;
  std::uint32_t filled_sizes_ = 0;
  bool present_ = false;
  bool tables_only_ = false;
};

}  // namespace nestwalk::NESTWALK_TIER
