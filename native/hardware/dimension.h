// The walker: one walk loop, `Radix`, over what lies below it. A role is a template parameter, so that a 1-D walk
// carries nothing of the second dimension. Semantics, step by step: src/hardware/dimension.ts.
#pragma once

#include <cstdint>

#include "../schema.h"
#include "nestedTlb.h"
#include "observers.h"
#include "psc.h"
#include "pteCaches.h"
#include "pwc.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

// How a walk ends: the first of the run states.
using Status = schema::RunStatus;

// A zone of simulated memory that holds table pages. `entries` points at the first entry of its first frame.
struct TableZone {
  std::uint64_t base = 0;
  std::uint64_t frames = 0;
  std::uint64_t* entries = nullptr;

  // Frame of the table that an entry stands in, and the entry's offset in it in bytes.
  std::uint64_t address_of(const std::uint64_t* entry, std::uint64_t& frame) const {
    const auto index = static_cast<std::uint64_t>(entry - entries);
    frame = base + index / schema::kEntriesPerTable;
    return index % schema::kEntriesPerTable * sizeof(std::uint64_t);
  }
};

inline constexpr std::uint32_t kLogSlots = 128;
inline constexpr unsigned kFrameShift = 12;
inline constexpr std::uint64_t kFrameMask = ((std::uint64_t{1} << 52) - 1) & ~((std::uint64_t{1} << kFrameShift) - 1);

inline std::uint64_t frame_of(std::uint64_t entry) {
  return (entry & kFrameMask) >> kFrameShift;
}

// Whether a present entry at a level ends the walk. Bit 7 of a level-1 entry is no page-size bit.
inline bool is_leaf(std::uint64_t entry, std::uint32_t level) {
  return level == 1 || (entry & schema::kEntryPageSize) != 0;
}

// Pages below one entry at a level, as a shift of page numbers.
inline constexpr unsigned span_shift(std::uint32_t level) {
  return 9 * (level - 1);
}

// Frame of a page below a leaf: the leaf's high bits, the page's low ones. What else stands in a large leaf's low frame
// bits (PAT, reserved) is no part of the address.
inline std::uint64_t frame_in_leaf(std::uint64_t entry, std::uint32_t level, std::uint64_t page) {
  const std::uint64_t offset_mask = (std::uint64_t{1} << span_shift(level)) - 1;
  return (frame_of(entry) & ~offset_mask) | (page & offset_mask);
}

struct Translation {
  std::uint64_t frame = 0;  // Of the page itself (4 KiB grain).
  std::uint32_t size = 0;   // Page-size index of the leaf.
  bool writable = false;
  bool dirty = false;
};

// What all dimensions of one walker share.
struct WalkState {
  std::uint64_t counters[schema::kCounterSlots] = {};
  PteCaches caches;
  Pwc pwc;
  UniqueEntries unique;
  bool observes_unique = false;
  std::uint8_t log_positions[kLogSlots] = {};
  std::uint64_t log_words[kLogSlots] = {};
  std::uint32_t log_length = 0;
  std::uint64_t fault_gpa_frame = 0;
  bool fault_write = false;
  std::uint32_t fault_row = 0;
  // Set when a walk changed memory, which breaks the promise of a static run.
  bool changed = false;

  // Counts the read of an entry that no PSC or nested TLB saved, unless the page-walk cache has it. Without extras
  // (PTE caches, page-walk cache, distinct entries) memory serves all.
  template <bool kExtras, bool kStatic>
  void reference(std::uint32_t row, std::uint32_t column, std::uint64_t host_frame, std::uint64_t index,
                 std::uint64_t entry, std::uint32_t level, bool nested) {
    const std::size_t position = row * schema::kColumns + column;
    if constexpr (!kExtras) {
      // Where nothing caches entries, `refHits` is the sum of the references: added once a run, not here.
      counters[schema::kCounterRefs + position]++;
      if constexpr (!kStatic) log_positions[log_length++] = static_cast<std::uint8_t>(position);
    } else {
      const std::uint64_t word = host_frame * schema::kEntriesPerTable + index;
      const bool eligible = pwc.present() && (entry & schema::kEntryPresent) != 0 && !is_leaf(entry, level) &&
                            (!nested || pwc.holds_nested());
      if (eligible && pwc.probe(word)) {
        counters[schema::kCounterPwcHits + position]++;
        return;
      }
      if (eligible) counters[schema::kCounterPwcMisses + position]++;
      counters[schema::kCounterRefs + position]++;
      log_positions[log_length] = static_cast<std::uint8_t>(position);
      log_words[log_length++] = word;
      const std::uint32_t served_by = caches.access(word * 8);
      counters[schema::kCounterRefHits + (nested ? schema::kMaxCaches + 1 : 0) + served_by]++;
    }
  }

  void move_to_fault_refs() {
    for (std::uint32_t i = 0; i < log_length; i++) {
      counters[schema::kCounterRefs + log_positions[i]]--;
      counters[schema::kCounterFaultRefs + log_positions[i]]++;
    }
  }
};
static_assert(schema::kPositions <= 256, "a position must fit the log's byte");

// Which table a radix dimension walks, and how its references are counted.
enum class Role : std::uint8_t { kOnly, kGuest, kNested };

template <class Cache>
class NestedDimension;

template <Role kRole, class Cache>
class Radix {
 public:
  static constexpr bool kPhysical = kRole != Role::kGuest;

  Psc<Cache> psc;
  std::uint64_t root = 0;
  std::uint64_t owner = 0;
  TableZone zone;

  void allocate(const double* psc_shapes, std::uint32_t levels, bool sets_bits, WalkState* state,
                NestedDimension<Cache>* below) {
    levels_ = levels;
    sets_bits_ = sets_bits;
    state_ = state;
    below_ = below;
    psc.allocate(psc_shapes, levels);
  }

  bool sets_bits() const { return sets_bits_; }

  // Translates a page number. `row` is the row of a nested walk. In a static run nothing is ever written.
  template <bool kExtras, bool kStatic>
  Status translate(std::uint64_t page, bool write, std::uint32_t row, Translation& out) {
    // No page lies beyond the address space: high bits are never ignored.
    if (page >> (9 * levels_) != 0) [[unlikely]]
      return Status::kCorruptTable;
    std::uint32_t level = levels_;
    std::uint64_t table = root;
    std::uint64_t host = kUnknown;
    bool path_writable = true;
    bool host_writable = false;
    PscPayload* from = nullptr;

    // A hit at level k says where the table of level k-1 is; for combined mappings also its host address.
    for (std::uint32_t k = 2; k <= levels_; k++) {
      PscLevel<Cache>& cached = psc.level(k);
      if (!cached.present) continue;
      const std::uint64_t number = psc_number(page, k);
      const std::int32_t slot = cached.cache.find(cached.cache.set_of(number), psc_key(number, owner));
      if (slot < 0) continue;
      cached.cache.promote(slot);
      state_->counters[(kRole == Role::kNested ? schema::kCounterNestedPscHits : schema::kCounterPscHits) + k - 2]++;
      from = &cached.payloads[static_cast<std::uint32_t>(slot)];
      level = k - 1;
      table = from->table;
      host = from->host;
      path_writable = (from->flags & kPathWritable) != 0;
      host_writable = (from->flags & kHostWritable) != 0;
      break;
    }

    for (;;) {
      const std::uint64_t position = table - zone.base;  // Wraps below the zone, and is then too large.
      if (position >= zone.frames) [[unlikely]]
        return Status::kCorruptTable;
      const std::uint64_t index = (page >> span_shift(level)) & (schema::kEntriesPerTable - 1);
      std::uint64_t* const at = zone.entries + position * schema::kEntriesPerTable + index;
      const std::uint32_t step_row = kRole == Role::kOnly ? static_cast<std::uint32_t>(schema::kRowPt)
                                     : kRole == Role::kNested
                                         ? row
                                         : static_cast<std::uint32_t>(schema::row_of_guest_level(level));

      if (host == kUnknown) {
        bool below_writable = true;
        if constexpr (kPhysical) {
          host = table;
        } else {
          const bool intent = below_->table_reads_are_writes() || will_set(*at, level, path_writable, write);
          Translation below;
          const Status status = below_->template translate<kExtras, kStatic>(table, intent, step_row, below);
          if (status != Status::kDone) [[unlikely]]
            return status;
          host = below.frame;
          below_writable = below.writable;
        }
        if (level < levels_) {
          const std::uint32_t flags = (path_writable ? kPathWritable : 0) | (below_writable ? kHostWritable : 0);
          psc.fill(level + 1, page, owner, {table, host, flags});
        }
      } else if constexpr (!kPhysical) {
        if (!host_writable && !below_->table_reads_are_writes() && will_set(*at, level, path_writable, write))
            [[unlikely]] {
          Translation below;
          const Status status = below_->template translate<kExtras, kStatic>(table, true, step_row, below);
          if (status != Status::kDone) return status;
          host = below.frame;
          from->host = host;
          from->flags |= kHostWritable;
        }
      }

      std::uint64_t entry = *at;
      const std::uint32_t column = kRole == Role::kGuest ? static_cast<std::uint32_t>(schema::kColumnG)
                                                         : static_cast<std::uint32_t>(schema::column_of_level(level));
      state_->template reference<kExtras, kStatic>(step_row, column, host, index, entry, level, kRole == Role::kNested);
      if ((entry & schema::kEntryPresent) == 0) [[unlikely]]
        return fault(page, write, row);
      if (sets_bits_ && (entry & schema::kEntryAccessed) == 0) [[unlikely]] {
        if constexpr (kStatic) return Status::kNotStatic;
        entry |= schema::kEntryAccessed;
        *at = entry;
        state_->changed = true;
      }
      path_writable = path_writable && (entry & schema::kEntryWritable) != 0;
      if (is_leaf(entry, level)) {
        if (level > 3) [[unlikely]]
          return Status::kCorruptTable;
        if (write && !path_writable) [[unlikely]]
          return fault(page, write, row);
        if (write && sets_bits_ && (entry & schema::kEntryDirty) == 0) [[unlikely]] {
          if constexpr (kStatic) return Status::kNotStatic;
          entry |= schema::kEntryDirty;
          *at = entry;
          state_->changed = true;
        }
        out.frame = frame_in_leaf(entry, level, page);
        out.size = level - 1;
        out.writable = path_writable;
        out.dirty = (entry & schema::kEntryDirty) != 0;
        return Status::kDone;
      }
      table = frame_of(entry);
      host = kUnknown;
      level--;
    }
  }

  // The entry that ends the walk for a page, found without counting anything; null where there is none. Unless
  // `read_last`, an entry of level 1 is not read: it is where the walk would end, to be fetched ahead.
  std::uint64_t* leaf_entry(std::uint64_t page, bool read_last, std::uint32_t& level) const {
    std::uint64_t table = root;
    for (level = levels_;; level--) {
      const std::uint64_t position = table - zone.base;
      if (position >= zone.frames) return nullptr;
      const std::uint64_t index = (page >> span_shift(level)) & (schema::kEntriesPerTable - 1);
      std::uint64_t* at = zone.entries + position * schema::kEntriesPerTable + index;
      if (level == 1 && !read_last) return at;
      if ((*at & schema::kEntryPresent) == 0) return nullptr;
      if (is_leaf(*at, level)) return at;
      table = frame_of(*at);
    }
  }

  // What an entry of a level says that a PSC may hold: the frame of the next table, and whether the path down to it is
  // writable. Counts nothing; false where there is no such entry.
  bool next_table(std::uint64_t page, std::uint32_t level, std::uint64_t& next, bool& writable) const {
    next = root;
    writable = true;
    for (std::uint32_t k = levels_; k >= level; k--) {
      const std::uint64_t entry = entry_of(next, page, k);
      if ((entry & schema::kEntryPresent) == 0 || is_leaf(entry, k)) return false;
      writable = writable && (entry & schema::kEntryWritable) != 0;
      next = frame_of(entry);
    }
    return true;
  }

  // Translates without counting, filling or setting anything. False where the tables have no such page.
  bool resolve(std::uint64_t page, Translation& out) const {
    if (page >> (9 * levels_) != 0) return false;
    std::uint64_t table = root;
    out.writable = true;
    for (std::uint32_t level = levels_;; level--) {
      const std::uint64_t entry = entry_of(table, page, level);
      if ((entry & schema::kEntryPresent) == 0) return false;
      out.writable = out.writable && (entry & schema::kEntryWritable) != 0;
      if (is_leaf(entry, level)) {
        if (level > 3) return false;
        out.frame = frame_in_leaf(entry, level, page);
        out.size = level - 1;
        out.dirty = (entry & schema::kEntryDirty) != 0;
        return true;
      }
      table = frame_of(entry);
    }
  }

  std::uint32_t levels() const { return levels_; }

 private:
  static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

  // The entry of a table for a page; one that is not present where there is no such table.
  std::uint64_t entry_of(std::uint64_t table, std::uint64_t page, std::uint32_t level) const {
    const std::uint64_t position = table - zone.base;
    if (position >= zone.frames) return 0;
    const std::uint64_t index = (page >> span_shift(level)) & (schema::kEntriesPerTable - 1);
    return zone.entries[position * schema::kEntriesPerTable + index];
  }

  // Whether the walk will set A or D in an entry, if it may. Looks without a reference, as the hardware's write does.
  static bool will_set(std::uint64_t entry, std::uint32_t level, bool path_writable, bool write) {
    if ((entry & schema::kEntryPresent) == 0) return false;
    if ((entry & schema::kEntryAccessed) == 0) return true;
    return write && is_leaf(entry, level) && path_writable && (entry & schema::kEntryWritable) != 0 &&
           (entry & schema::kEntryDirty) == 0;
  }

  Status fault(std::uint64_t page, bool write, std::uint32_t row) {
    if constexpr (kRole != Role::kNested) return Status::kGuestFault;
    state_->fault_gpa_frame = page;
    state_->fault_write = write;
    state_->fault_row = row;
    return Status::kNestedViolation;
  }

  std::uint32_t levels_ = 0;
  bool sets_bits_ = true;
  WalkState* state_ = nullptr;
  NestedDimension<Cache>* below_ = nullptr;
};

// The second dimension: the nested TLB in front of the nested table.
template <class Cache>
class NestedDimension {
 public:
  Radix<Role::kNested, Cache> table;
  NestedTlb<Cache> ntlb;

  void allocate(WalkState* state) { state_ = state; }
  bool table_reads_are_writes() const { return table.sets_bits(); }

  template <bool kExtras, bool kStatic>
  Status translate(std::uint64_t frame, bool write, std::uint32_t row, Translation& out) {
    if (!ntlb.present() || (ntlb.tables_only() && row == schema::kRowGpa)) {
      return table.template translate<kExtras, kStatic>(frame, write, row, out);
    }
    std::uint32_t size = 0;
    const std::int32_t slot = ntlb.find(frame, table.owner, size);
    if (slot >= 0) {
      const TlbPayload payload = ntlb.payload(slot);
      const bool enough =
          !write || ((payload.flags & kWritable) != 0 && (!table.sets_bits() || (payload.flags & kDirty) != 0));
      if (enough) [[likely]] {
        ntlb.cache().promote(slot);
        state_->counters[schema::kCounterNtlbHits + row]++;
        out.frame = payload.frame + (frame & ((std::uint64_t{1} << size_shift(size)) - 1));
        out.size = size;
        out.writable = (payload.flags & kWritable) != 0;
        out.dirty = (payload.flags & kDirty) != 0;
        return Status::kDone;
      }
      ntlb.cache().drop(slot);
    }
    state_->counters[schema::kCounterNtlbMisses + row]++;
    const Status status = table.template translate<kExtras, kStatic>(frame, write, row, out);
    if (status != Status::kDone) [[unlikely]]
      return status;
    const std::uint32_t flags = (out.writable ? kWritable : 0) | (out.dirty ? kDirty : 0);
    const std::uint64_t offset = frame & ((std::uint64_t{1} << size_shift(out.size)) - 1);
    // An entry of another size may have decided the probe; a fill takes the place of one with its own key.
    if (slot >= 0) ntlb.drop(frame, out.size, table.owner);
    ntlb.fill(frame >> size_shift(out.size), out.size, table.owner, {out.frame - offset, flags});
    return Status::kDone;
  }

 private:
  WalkState* state_ = nullptr;
};

}  // namespace nestwalk::NESTWALK_TIER
