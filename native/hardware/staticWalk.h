// The walks of a static run whose walk caches are PSCs, nested PSCs and a nested TLB only. Each of these caches sees a
// stream of its own that depends on no walk's result but the guest's frames:
//
// - PSC[k] sees, in order, the walks that missed PSC[2] … PSC[k-1]: it is probed by them alone, and each of them fills
// it
//   unless it hits. So walks pass over PSC[2], the misses over PSC[3], and so on; what is left after level k are the
//   walks that read an entry at level k.
// - The nested TLB sees the translations that walks ask for, walk by walk: guest tables whose host address no PSC gave,
//   from the top, then the data page. Nested PSCs see what the nested TLB missed, filtered level by level as above.
//
// Levels at and below the leaf have no non-leaf entries: their PSCs are never filled and always miss.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "../machine.h"
#include "../schema.h"
#include "dimension.h"
#include "passArray.h"

namespace nestwalk::NESTWALK_TIER {

// The PSCs of one dimension, as passes.
class StaticPsc {
 public:
  void allocate(const double* shapes, std::uint32_t table_levels, std::uint64_t page_bound) {
    levels_ = table_levels;
    for (std::uint32_t k = 2; k <= table_levels; k++) {
      const auto entries = static_cast<std::uint32_t>(shapes[2 * (k - 2)]);
      const auto ways = static_cast<std::uint32_t>(shapes[2 * (k - 2) + 1]);
      if (entries == 0) continue;
      arrays_[k].allocate(entries, ways, psc_number(page_bound, k) + 1);
    }
  }

  std::uint32_t levels() const { return levels_; }
  std::uint32_t leaf() const { return leaf_; }
  void set_leaf(std::uint32_t level) { leaf_ = level; }
  PassArray& array(std::uint32_t k) { return arrays_[k]; }
  // Whether level k has a cache that can hold anything.
  bool holds(std::uint32_t k) const { return k > leaf_ && arrays_[k].present(); }
  bool holds_any() const {
    for (std::uint32_t k = 2; k <= levels_; k++) {
      if (holds(k)) return true;
    }
    return false;
  }

  void clear() {
    for (PassArray& array : arrays_) array.clear();
  }

 private:
  std::uint32_t levels_ = 0;
  std::uint32_t leaf_ = 0;
  PassArray arrays_[schema::kMaxTableLevels + 1];
};

// Room for the walks of one batch. Nothing in it outlives a batch, so machines that take turns share one.
template <std::uint32_t kWalks>
struct WalkScratch {
  static constexpr std::uint32_t kCalls = kWalks * (schema::kMaxTableLevels + 1);
  static_assert(kWalks <= 65536, "a walk's number fits 16 bits");

  std::uint16_t walks[kWalks + 1];
  std::uint8_t start[kWalks];
  std::uint8_t hits[kCalls + 1];
  ResolvedPage resolved[kWalks];
  const std::uint64_t* leaves[kWalks];
  // Translations asked for: the frame, and the row of the reference matrix above it. A vector may write beyond the
  // last.
  std::uint64_t calls[kCalls + 8];
};

// Frames have 40 bits; a translation's row stands above them, so that both move as one number.
inline constexpr unsigned kRowShift = 60;
inline constexpr std::uint64_t kCallFrame = (std::uint64_t{1} << kRowShift) - 1;
static_assert(schema::kRows <= 16, "a row fits the bits above a frame");
inline std::uint64_t make_call(std::uint64_t frame, std::size_t row) {
  return frame | std::uint64_t{row} << kRowShift;
}

template <std::uint32_t kWalks, bool kNested>
class StaticWalk {
 public:
  // Takes the geometry from a machine block, and comes into use; GVA pages stay below `page_bound`.
  void allocate(const double* machine, std::uint64_t page_bound) {
    const auto at = [machine](std::size_t slot) { return static_cast<std::uint32_t>(machine[slot]); };
    guest_.allocate(machine + schema::kMachinePsc, at(schema::kMachineGuestLevels), page_bound);
    if constexpr (kNested) {
      frame_bound_ = static_cast<std::uint64_t>(machine[schema::kMachineGuestFrameBound]);
      nested_.allocate(machine + schema::kMachineNestedPsc, at(schema::kMachineNestedLevels), frame_bound_);
      if (at(schema::kMachineNtlbEntries) > 0) {
        ntlb_.allocate(at(schema::kMachineNtlbEntries), at(schema::kMachineNtlbWays), frame_bound_);
        tables_only_ = static_cast<schema::NtlbHolds>(at(schema::kMachineNtlbHolds)) == schema::NtlbHolds::kTables;
      }
    }
    present_ = true;
  }

  // The levels that leaves are at.
  void set_leaves(std::uint32_t guest, std::uint32_t nested) {
    guest_.set_leaf(guest);
    if constexpr (kNested) {
      nested_.set_leaf(nested);
      nested_shift_ = span_shift(nested);
      // What nothing remembers need not be known: the references follow from the number of walks.
      needs_frames_ = ntlb_.present() || nested_.holds_any();
    }
  }

  // GPA frames that it takes stay below it.
  std::uint64_t frame_bound() const { return frame_bound_; }

  bool present() const { return present_; }
  // Takes it out of use.
  void retire() { present_ = false; }
  void use(WalkScratch<kWalks>* scratch) { scratch_ = scratch; }
  WalkScratch<kWalks>* scratch() const { return scratch_; }
  // Without any walk cache the references follow from the number of walks.
  bool needs_pages() const { return guest_.holds_any() || needs_frames_; }
  StaticPsc& guest() { return guest_; }
  StaticPsc& nested() { return nested_; }
  PassArray& ntlb() { return ntlb_; }
  std::uint32_t nested_shift() const { return nested_shift_; }

  // Walks for n pages (n <= kWalks). `zone` and `root` are the guest's (or only) table. `resolved` is what `resolve`
  // gave for these pages, or null.
  Status run(const std::uint64_t* pages, const ResolvedPage* resolved, std::uint32_t n, const TableZone& zone,
             std::uint64_t root, std::uint64_t* counters) {
    if (kNested && needs_frames_ && resolved == nullptr) {
      const Status status = resolve(pages, n, zone, root, scratch_->resolved);
      if (status != Status::kDone) return status;
      resolved = scratch_->resolved;
    }
    pass_guest(pages, n, counters);
    if constexpr (kNested) {
      if (needs_frames_) {
        pass_nested(translations(pages, resolved, n, zone, root), counters);
      } else {
        count_nested_rows(n, counters);
      }
    }
    return Status::kDone;
  }

  // Counts n walks of a machine without any walk cache: each reads every level.
  void count(std::uint64_t n, std::uint64_t* counters) {
    for (std::uint32_t k = guest_.leaf(); k <= guest_.levels(); k++) {
      counters[schema::kCounterRefs + guest_position(k)] += n;
      left_[k] = n;
    }
    if constexpr (kNested) count_nested_rows(n, counters);
  }

  // Whether walks read the guest's tables at all.
  bool needs_resolved() const { return kNested && needs_frames_; }

  // Reads the guest's tables for n pages: first down to the leaf's table, whose line is fetched while others are
  // descended to, then the leaves.
  Status resolve(const std::uint64_t* pages, std::uint32_t n, const TableZone& zone, std::uint64_t root,
                 ResolvedPage* resolved) {
    const std::uint32_t leaf = guest_.leaf();
    for (std::uint32_t i = 0; i < n; i++) {
      std::uint64_t table = 0;
      if (!descend(pages[i], zone, root, table)) [[unlikely]]
        return Status::kCorruptTable;
      const std::uint64_t index = (pages[i] >> span_shift(leaf)) & (schema::kEntriesPerTable - 1);
      resolved[i].leaf_table = table;
      scratch_->leaves[i] = zone.entries + (table - zone.base) * schema::kEntriesPerTable + index;
      __builtin_prefetch(scratch_->leaves[i]);
    }
    std::uint64_t all = ~std::uint64_t{0};
    for (std::uint32_t i = 0; i < n; i++) {
      const std::uint64_t entry = *scratch_->leaves[i];
      all &= entry;
      resolved[i].frame = frame_in_leaf(entry, leaf, pages[i]);
    }
    constexpr std::uint64_t kNeeded =
        schema::kEntryPresent | schema::kEntryAccessed | schema::kEntryDirty | schema::kEntryWritable;
    return (all & kNeeded) == kNeeded ? Status::kDone : Status::kNotStatic;
  }

  void clear() {
    guest_.clear();
    nested_.clear();
    ntlb_.clear();
  }

  // Tables were loaded that nothing is known of.
  void forget_tables() {
    for (Known& known : known_) known = {};
  }

 private:
  // PSC by PSC; leaves in `start` the level whose PSC hit, and counts hits and the table's references.
  void pass_guest(const std::uint64_t* pages, std::uint32_t n, std::uint64_t* counters) {
    const std::uint32_t levels = guest_.levels();
    const std::uint64_t* numbers = pages;
    std::uint32_t left = n;
    // As if a level above the root's had hit: then not even the root's host address is known.
    if constexpr (kNested) std::memset(scratch_->start, static_cast<int>(levels + 2), n);
    for (std::uint32_t k = 1; k <= levels; k++) {
      if (k >= 2 && guest_.holds(k)) {
        guest_.array(k).look_up(numbers, left, kCallFrame, span_shift(k), scratch_->hits);
        const bool first = numbers == pages;
        std::uint32_t out = 0;
        for (std::uint32_t i = 0; i < left; i++) {
          if constexpr (kNested) {
            const std::uint32_t walk = first ? i : scratch_->walks[i];
            scratch_->start[walk] = scratch_->hits[i] ? static_cast<std::uint8_t>(k) : scratch_->start[walk];
            scratch_->walks[out] = static_cast<std::uint16_t>(walk);
          }
          scratch_->calls[out] = numbers[i];
          out += !scratch_->hits[i];
        }
        numbers = scratch_->calls;
        counters[schema::kCounterPscHits + k - 2] += left - out;
        left = out;
      }
      left_[k] = left;
      if (k < guest_.leaf()) continue;
      counters[schema::kCounterRefs + guest_position(k)] += k == guest_.leaf() ? n : left;
    }
  }

  // Where the references to the guest's (or only) table at a level are counted.
  static std::size_t guest_position(std::uint32_t level) {
    return kNested ? schema::row_of_guest_level(level) * schema::kColumns + schema::kColumnG
                   : schema::kRowPt * schema::kColumns + schema::column_of_level(level);
  }

  // Without any cache of the second dimension: each translation reads every level of the nested table.
  void count_nested_rows(std::uint64_t n, std::uint64_t* counters) {
    const auto add = [&](std::size_t row, std::uint64_t count) {
      for (std::uint32_t level = nested_.leaf(); level <= nested_.levels(); level++) {
        counters[schema::kCounterRefs + row * schema::kColumns + schema::column_of_level(level)] += count;
      }
    };
    // The table of level k is translated by walks that began above it: those that missed every PSC up to k+1.
    for (std::uint32_t k = guest_.leaf(); k <= guest_.levels(); k++) {
      add(schema::row_of_guest_level(k), k == guest_.levels() ? left_[k] : left_[k + 1]);
    }
    add(schema::kRowGpa, n);
  }

  // The frames that walks translate, walk by walk: tables from the top, then the data page. Returns their number.
  std::uint32_t translations(const std::uint64_t* pages, const ResolvedPage* resolved, std::uint32_t n,
                             const TableZone& zone, std::uint64_t root) {
    const std::uint32_t leaf = guest_.leaf();
    const std::size_t leaf_row = schema::row_of_guest_level(leaf);
    std::uint64_t* const calls = scratch_->calls;
    std::uint32_t out = 0;
    has_upper_ = false;
    for (std::uint32_t i = 0; i < n; i++) {
      // A PSC hit at level k gives the host address of the table at level k-1; those below must be asked for.
      const std::uint32_t start = scratch_->start[i];
      if (start > leaf + 2) [[unlikely]]
        out = upper_tables(pages[i], start, zone, root, out);
      calls[out] = make_call(resolved[i].leaf_table, leaf_row);
      out += leaf + 1 < start;
      calls[out++] = make_call(resolved[i].frame, schema::kRowGpa);
    }
    return out;
  }

  // The leaf's table of a page. What one entry of level 3 leads to is remembered, because few such regions are in use.
  bool descend(std::uint64_t page, const TableZone& zone, std::uint64_t root, std::uint64_t& table) {
    const std::uint32_t leaf = guest_.leaf();
    std::uint32_t level = guest_.levels();
    table = root;
    Known& known = known_[(page >> kKnownShift) & (kKnown - 1)];
    const bool remembers = level > 2 && leaf < 3;
    if (remembers && known.region == page >> kKnownShift) {
      table = known.table;
      level = 2;
    }
    for (; level > leaf; level--) {
      const std::uint64_t position = table - zone.base;
      if (position >= zone.frames) return false;
      if (level == 2 && remembers) known = {page >> kKnownShift, table};
      const std::uint64_t index = (page >> span_shift(level)) & (schema::kEntriesPerTable - 1);
      table = frame_of(zone.entries[position * schema::kEntriesPerTable + index]);
    }
    return table - zone.base < zone.frames;
  }

  // Translations of the tables above the leaf's that a walk asks for; returns the new number of translations.
  std::uint32_t upper_tables(std::uint64_t page, std::uint32_t start, const TableZone& zone, std::uint64_t root,
                             std::uint32_t out) {
    has_upper_ = true;
    std::uint64_t table = root;
    for (std::uint32_t level = guest_.levels(); level > guest_.leaf(); level--) {
      scratch_->calls[out] = make_call(table, schema::row_of_guest_level(level));
      out += level + 1 < start;
      const std::uint64_t index = (page >> span_shift(level)) & (schema::kEntriesPerTable - 1);
      table = frame_of(zone.entries[(table - zone.base) * schema::kEntriesPerTable + index]);
    }
    return out;
  }

  // The nested TLB, then the nested PSCs, over the translations.
  void pass_nested(std::uint32_t calls, std::uint64_t* counters) {
    std::uint32_t left = calls;
    if (ntlb_.present()) {
      std::uint64_t before[schema::kRows];
      std::uint64_t after[schema::kRows];
      count_rows(left, before);
      if (tables_only_) {
        left = pass_tables_only(left);
      } else {
        ntlb_.look_up(scratch_->calls, left, kCallFrame, nested_shift_, scratch_->hits);
        left = keep_misses(left);
      }
      count_rows(left, after);
      for (std::size_t row = 0; row < schema::kRows; row++) {
        if (tables_only_ && row == schema::kRowGpa) continue;
        counters[schema::kCounterNtlbHits + row] += before[row] - after[row];
        counters[schema::kCounterNtlbMisses + row] += after[row];
      }
    }
    // The leaf is read by every walk, a level above by those that missed the PSCs up to it.
    count_references(nested_.leaf(), left, counters);
    for (std::uint32_t k = 2; k <= nested_.levels(); k++) {
      if (nested_.holds(k)) {
        nested_.array(k).look_up(scratch_->calls, left, kCallFrame, span_shift(k), scratch_->hits);
        const std::uint32_t out = keep_misses(left);
        counters[schema::kCounterNestedPscHits + k - 2] += left - out;
        left = out;
      }
      if (k > nested_.leaf()) count_references(k, left, counters);
    }
  }

  // Keeps of the first n translations those that `hits` says missed.
  std::uint32_t keep_misses(std::uint32_t n) {
    std::uint64_t* const calls = scratch_->calls;
    const std::uint8_t* const hits = scratch_->hits;
    std::uint32_t out = 0;
    std::uint32_t i = 0;
#if defined(__AVX512VL__) && defined(__AVX512BW__)
    for (; i + 8 <= n; i += 8) {
      const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(hits + i));
      const auto missed = static_cast<__mmask8>(_mm_cmpeq_epi8_mask(eight, _mm_setzero_si128()));
      _mm512_storeu_si512(calls + out, _mm512_maskz_compress_epi64(missed, _mm512_loadu_si512(calls + i)));
      out += static_cast<std::uint32_t>(std::popcount(std::uint32_t{missed}));
    }
#endif
    for (; i < n; i++) {
      calls[out] = calls[i];
      out += hits[i] == 0;
    }
    return out;
  }

  // A nested TLB that holds tables only: data pages pass it by.
  std::uint32_t pass_tables_only(std::uint32_t n) {
    std::uint64_t* const calls = scratch_->calls;
    std::uint32_t out = 0;
    ntlb_.pass([&](auto access) {
      for (std::uint32_t i = 0; i < n; i++) {
        const std::uint64_t call = calls[i];
        const bool hit = call >> kRowShift != schema::kRowGpa && access((call & kCallFrame) >> nested_shift_);
        calls[out] = call;
        out += !hit;
      }
    });
    return out;
  }

  // How many of the first n translations are of each row. Most batches have only those of the leaf's table and the
  // data.
  void count_rows(std::uint32_t n, std::uint64_t* by_row) const {
    for (std::size_t row = 0; row < schema::kRows; row++) by_row[row] = 0;
    const std::size_t leaf_row = schema::row_of_guest_level(guest_.leaf());
    by_row[schema::kRowGpa] = count_row(n, schema::kRowGpa);
    by_row[leaf_row] = n - by_row[schema::kRowGpa];
    if (!has_upper_) return;
    for (std::size_t level = guest_.leaf() + 1; level <= guest_.levels(); level++) {
      const std::size_t row = schema::row_of_guest_level(level);
      by_row[row] = count_row(n, row);
      by_row[leaf_row] -= by_row[row];
    }
  }

  std::uint64_t count_row(std::uint32_t n, std::size_t row) const {
    const std::uint64_t* const calls = scratch_->calls;
    std::uint64_t count = 0;
    for (std::uint32_t i = 0; i < n; i++) count += calls[i] >> kRowShift == row;
    return count;
  }

  void count_references(std::uint32_t level, std::uint32_t n, std::uint64_t* counters) const {
    std::uint64_t by_row[schema::kRows];
    count_rows(n, by_row);
    for (std::size_t row = 0; row < schema::kRows; row++) {
      counters[schema::kCounterRefs + row * schema::kColumns + schema::column_of_level(level)] += by_row[row];
    }
  }

  // Regions whose level-2 table is remembered: what an entry of level 3 covers.
  static constexpr unsigned kKnownShift = 18;
  static constexpr std::uint32_t kKnown = 64;
  struct Known {
    std::uint64_t region = ~std::uint64_t{0};
    std::uint64_t table = 0;
  };

  bool present_ = false;
  bool tables_only_ = false;
  bool needs_frames_ = false;
  bool has_upper_ = false;
  unsigned nested_shift_ = 0;
  std::uint64_t frame_bound_ = 0;
  StaticPsc guest_;
  StaticPsc nested_;
  PassArray ntlb_;
  std::uint64_t left_[schema::kMaxTableLevels + 2] = {};
  Known known_[kKnown];
  WalkScratch<kWalks>* scratch_ = nullptr;
};

}  // namespace nestwalk::NESTWALK_TIER
