// Where the leaf entries of a table are, found without counting anything: for a lull in which nothing may change
// (lull.h), each table of leaves is descended to once, the entries above it are checked on the way, and is then
// remembered.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "buffer.h"
#include "dimension.h"

namespace nestwalk::NESTWALK_TIER {

// The place of a leaf entry. Its lowest bit tells whether all entries above it are writable; 0 stands for none.
using LeafPlace = std::uintptr_t;

// A leaf entry as a walk to it would find it: not writable where the path is not.
inline std::uint64_t read_leaf(LeafPlace place) {
  const std::uint64_t entry = *reinterpret_cast<const std::uint64_t*>(place & ~LeafPlace{1});
  return (place & 1) != 0 ? entry : entry & ~schema::kEntryWritable;
}

template <class Table>
class LeafTables {
 public:
  explicit LeafTables(const Table& table) : table_(table) {}

  // Nothing is known from now on; leaves are looked for at a level.
  void begin(std::uint32_t level) {
    level_ = level;
    if (known_.size() == 0) known_.allocate(kKnown, 0xff);
    stamp_ = (stamp_ + 1) & ((std::uint64_t{1} << (64 - kRegionBits)) - 1);
    // After so many lulls old stamps come again.
    if (stamp_ == 0) known_.fill(0xff);
  }

  std::uint32_t level() const { return level_; }

  // What a leaf entry must have for a read to go by it and change nothing.
  std::uint64_t needed() const {
    return schema::kEntryPresent | (table_.sets_bits() ? schema::kEntryAccessed : 0) |
           (level_ > 1 ? schema::kEntryPageSize : 0);
  }

  // The place of the leaf entry of a page. 0 where an entry above it is not there, ends the walk, or has to be marked
  // as accessed, and where `fits` refuses a table on the way.
  template <class Fits>
  LeafPlace place(std::uint64_t page, Fits fits) {
    const std::uint64_t region = page >> span_shift(level_ + 1) | stamp_ << kRegionBits;
    Known& known = known_[region & (kKnown - 1)];
    if (known.region != region) [[unlikely]] {
      const LeafPlace leaves = descend(page, fits);
      if (leaves == 0) return 0;
      known = {region, leaves};
    }
    const std::uint64_t index = (page >> span_shift(level_)) & (schema::kEntriesPerTable - 1);
    return known.leaves + index * sizeof(std::uint64_t);
  }

  // Frame of the table that a leaf entry is in.
  std::uint64_t table_of(LeafPlace place) const {
    const auto entry = reinterpret_cast<const std::uint64_t*>(place & ~LeafPlace{1});
    return table_.zone.base + static_cast<std::uint64_t>(entry - table_.zone.entries) / schema::kEntriesPerTable;
  }

 private:
  // Tables of leaves that are remembered: those of 8 GiB in 4 KiB pages.
  static constexpr std::uint32_t kKnown = 4096;
  // Bits of a table's number; the lull's own number is above them.
  static constexpr unsigned kRegionBits = 40;
  struct Known {
    std::uint64_t region;
    LeafPlace leaves;
  };

  // The place of the first entry of the table of leaves that a page belongs to, or 0.
  template <class Fits>
  LeafPlace descend(std::uint64_t page, Fits fits) const {
    if (page >> span_shift(table_.levels() + 1) != 0) return 0;
    const std::uint64_t needed = schema::kEntryPresent | (table_.sets_bits() ? schema::kEntryAccessed : 0);
    std::uint64_t table = table_.root;
    bool writable = true;
    for (std::uint32_t level = table_.levels();; level--) {
      const std::uint64_t position = table - table_.zone.base;
      if (position >= table_.zone.frames || !fits(table)) return 0;
      const std::uint64_t* const entries = table_.zone.entries + position * schema::kEntriesPerTable;
      if (level == level_) return reinterpret_cast<LeafPlace>(entries) | LeafPlace{writable};
      const std::uint64_t entry = entries[(page >> span_shift(level)) & (schema::kEntriesPerTable - 1)];
      if ((entry & needed) != needed || is_leaf(entry, level)) return 0;
      writable = writable && (entry & schema::kEntryWritable) != 0;
      table = frame_of(entry);
    }
  }

  const Table& table_;
  Buffer<Known> known_;
  std::uint32_t level_ = 1;
  std::uint64_t stamp_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
