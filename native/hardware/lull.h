// Lulls: how a core whose run is not promised to be static takes the static way all the same, for as long as
// nothing changes. At its beginning the entries of the loaded tag and vm are compared with the tables, and the TLBs
// (and, where walks go in passes, the walk caches) become arrays of keys; entries of others are parked in them. Then
// each batch is tried: it passes over the TLBs, and the leaf entries of all walks that it asks for are looked at. If
// one of them would fault or be marked, or if a write goes where a right or a dirty bit is missing, the TLBs go back to
// where they were, and the general way takes over. At the end the keys become entries again: since nothing has changed,
// they are what the tables say. So a lull is exact, and nothing but the time that it takes can be seen.
#pragma once

#include <cstdint>
#include <cstring>

#include "../machine.h"
#include "../schema.h"
#include "access.h"
#include "buffer.h"
#include "dimension.h"
#include "leafTables.h"
#include "passArray.h"
#include "psc.h"
#include "staticWalk.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

template <class Core, class Cache, bool kNested, std::uint32_t kMost>
class Lull {
  using Table = Radix<kNested ? Role::kGuest : Role::kOnly, Cache>;
  using NestedTable = Radix<Role::kNested, Cache>;

 public:
  Lull(Core& core, const Table& table, const NestedTable& nested)
      : core_(core), table_(table), nested_(nested), guest_leaves_(table), nested_leaves_(nested) {}

  // Looks for lulls at every turn, for tests.
  void be_eager() { eager_ = true; }

  // --- when -------------------------------------------------------------------------------------------------------

  // Whether so many accesses are worth a lull's beginning and end, and nothing has changed of late.
  bool worth(std::uint64_t accesses) const {
    return eager_ || (calm_ >= patience_ && accesses >= (many_walks_ ? 1 : kHitsAWalk) * least_);
  }
  // How many accesses the general way takes before that is asked again.
  std::uint64_t patience() const { return eager_ ? kEagerPatience : patience_; }
  // The general way has taken so many accesses, with so many walks; whether one of them faulted or changed a table.
  void took(std::uint64_t accesses, std::uint64_t walks, bool troubled) {
    calm_ = troubled ? 0 : calm_ + accesses;
    many_walks_ = walks * kManyWalks >= accesses;
  }

  // Begins a lull whose first access is to a page, and whose pages stay below a bound. False when the core cannot
  // take the static way from here.
  bool begin(std::uint64_t page, std::uint64_t page_bound, bool writes) {
    if (find_levels(page) && allocate(page_bound)) {
      writes_ = writes;
      if (any_restricted_) restricted_.fill(0);
      any_restricted_ = false;
      guest_leaves_.begin(guest_level_);
      if constexpr (kNested) nested_leaves_.begin(nested_level_);
      looks_ahead_ = true;
      if (park_all(true)) return true;
      retire();
    }
    note_length(0);
    return false;
  }

  // Ends it after so many accesses and walks; whether the next one broke it off.
  void end(std::uint64_t accesses, std::uint64_t walks, bool broken) {
    settle();
    retire();
    many_walks_ = walks * kManyWalks >= accesses;
    if (broken) note_length(accesses);
  }

  // --- how --------------------------------------------------------------------------------------------------------

  // Looks at the leaf entries of n pages (n <= kMost): false when a read of one of them would not be as in a static
  // run. Leaves what walks want to know of them in `resolved`.
  bool look(const std::uint64_t* pages, std::uint32_t n, ResolvedPage* resolved) {
    std::uint64_t all = 0;
    std::uint64_t all_nested = 0;
    if (!see(pages, n, resolved, all, all_nested)) [[unlikely]]
      return false;
    const std::uint64_t needed = guest_leaves_.needed();
    if ((all & needed) != needed) [[unlikely]]
      return false;
    if constexpr (kNested) {
      const std::uint64_t nested_needed = nested_leaves_.needed();
      if ((all_nested & nested_needed) != nested_needed) [[unlikely]]
        return false;
    }
    constexpr std::uint64_t kRights = schema::kEntryWritable | schema::kEntryDirty;
    if (writes_ && (all & all_nested & kRights) != kRights) [[unlikely]] {
      for (std::uint32_t i = 0; i < n; i++) {
        if (seen(i, pages[i]).flags != (kWritable | kDirty)) restrict_page(pages[i]);
      }
    }
    return true;
  }

  // Whether a write goes to a page that lacks a right or a dirty bit. `words` tells which of n accesses write.
  bool forbids(const std::uint64_t* pages, const std::uint16_t* words, std::uint32_t n) const {
    if (!any_restricted_) return false;
    for (std::uint32_t i = 0; i < n; i++) {
      const std::uint64_t number = pages[i] >> shift();
      const bool restricted = (restricted_[number % kRestrictedPages / 64] >> number % 64 & 1) != 0;
      if (restricted && (words[i] & kWrite) != 0) return true;
    }
    return false;
  }

  // Takes down what the TLBs hold, and brings it back.
  void save() {
    std::size_t at = 0;
    tlb_memory([&](void* memory, std::size_t bytes) {
      std::memcpy(saved_.data() + at, memory, bytes);
      at += bytes;
    });
  }
  void restore() {
    std::size_t at = 0;
    tlb_memory([&](void* memory, std::size_t bytes) {
      std::memcpy(memory, saved_.data() + at, bytes);
      at += bytes;
    });
  }
  // How many batches one save is for.
  std::uint32_t batches_a_save() const { return batches_a_save_; }

  // --- the way there and back, also for saved states of a static run ----------------------------------------------

  // Takes over what the general structures hold. False if an entry that the lull might meet is not what the tables
  // say; unless `compare`, nobody looks.
  bool park_all(bool compare) {
    compare_ = compare;
    return park_side(core_.l1d_, core_.static_l1_, parked_l1_) &&
           park_side(core_.stlb_, core_.static_stlb_, parked_stlb_) &&
           park_psc(core_.table_.psc, table_, core_.static_walk_.guest(), guest_psc_) &&
           (!kNested ||
            (park_psc(core_.nested_.table.psc, nested_, core_.static_walk_.nested(), nested_psc_) && park_ntlb()));
  }

  // Writes what the arrays hold to the general structures.
  void settle() {
    settle_side(core_.l1d_, core_.static_l1_, parked_l1_);
    settle_side(core_.stlb_, core_.static_stlb_, parked_stlb_);
    if (!core_.static_walk_.present()) return;
    settle_psc(core_.table_.psc, table_, core_.static_walk_.guest(), guest_psc_);
    if constexpr (kNested) {
      settle_psc(core_.nested_.table.psc, nested_, core_.static_walk_.nested(), nested_psc_);
      settle_ntlb();
    }
  }

  // Puts the arrays out of use.
  void retire() {
    core_.static_l1_.retire();
    core_.static_stlb_.retire();
    core_.static_walk_.retire();
    looks_ahead_ = false;
  }

 private:
  // Bounds of how long the general way is taken before a lull is tried, and the length that is worth another one soon.
  static constexpr std::uint64_t kLeastPatience = 1024;
  static constexpr std::uint64_t kMostPatience = 65536;
  static constexpr std::uint64_t kEagerPatience = 3;
  static constexpr std::uint32_t kEagerBatches = 3;
  static constexpr std::uint64_t kLongLull = 16384;
  // Accesses that a lull should have for each entry that it has to compare and to write back, where at least one of
  // `kManyWalks` accesses walks. Hits gain less than walks: without those it takes so many times more.
  static constexpr std::uint64_t kAccessesAnEntry = 1;
  static constexpr std::uint64_t kManyWalks = 16;
  static constexpr std::uint64_t kHitsAWalk = 4;
  // Bytes of TLBs that may be saved for each batch.
  static constexpr std::size_t kBytesABatch = 32768;
  // Pages that are told apart as restricted, by their low bits. Others are taken for one of them, which costs time
  // only.
  static constexpr std::uint64_t kRestrictedPages = std::uint64_t{1} << 18;

  // An entry that nobody looks for in this lull.
  template <class Payload>
  struct ParkedEntry {
    std::uint64_t key;
    Payload payload;
  };

  template <class Payload>
  using Parked = Buffer<ParkedEntry<Payload>>;

  // The parked entries of the PSCs of one dimension.
  struct ParkedPscs {
    Parked<PscPayload> of_level[schema::kMaxTableLevels + 1];
  };

  // Room for what is made of the numbers of an array.
  template <class Payload>
  struct Made {
    Buffer<Payload> all;
    Buffer<Payload> of_set;
  };

  unsigned shift() const { return size_shift(core_.static_size_); }

  // A lull came to an end after so many accesses: the sooner, the later comes the next.
  void note_length(std::uint64_t accesses) {
    calm_ = 0;
    if (accesses >= kLongLull) {
      patience_ = kLeastPatience;
    } else if (patience_ < kMostPatience) {
      patience_ *= 2;
    }
  }

  // --- shapes -----------------------------------------------------------------------------------------------------

  // A lull is of one page size in each dimension: those of its first page.
  bool find_levels(std::uint64_t page) {
    const std::uint64_t* const leaf = leaf_of(table_, page, guest_level_);
    if (leaf == nullptr) return false;
    std::uint32_t smaller = guest_level_;
    if constexpr (kNested) {
      if (leaf_of(nested_, frame_in_leaf(*leaf, guest_level_, page), nested_level_) == nullptr) return false;
      if (nested_level_ < smaller) smaller = nested_level_;
    }
    core_.static_size_ = smaller - 1;
    return true;
  }

  template <class AnyTable>
  static const std::uint64_t* leaf_of(const AnyTable& table, std::uint64_t page, std::uint32_t& level) {
    if (page >> span_shift(table.levels() + 1) != 0) return nullptr;
    const std::uint64_t* const leaf = table.leaf_entry(page, true, level);
    return leaf == nullptr || level > 3 ? nullptr : leaf;
  }

  bool allocate(std::uint64_t page_bound) {
    if (!core_.allocate_static_tlbs(page_bound)) return false;
    if constexpr (Core::kWalksPass) {
      core_.allocate_static_walk(page_bound);
      core_.static_walk_.set_leaves(guest_level_, nested_level_);
    }
    std::size_t bytes = 0;
    tlb_memory([&](void*, std::size_t piece) { bytes += piece; });
    if (saved_.size() < bytes + 1) saved_.allocate(bytes + 1);
    batches_a_save_ = eager_ ? kEagerBatches : static_cast<std::uint32_t>(1 + bytes / kBytesABatch);
    if (restricted_.size() == 0) {
      restricted_.allocate(kRestrictedPages / 64);
      guest_entries_.allocate(kMost);
      nested_entries_.allocate(kMost);
      resolved_.allocate(kMost);
    }
    std::uint64_t entries = 0;
    for (TlbSide* side : {&core_.l1d_, &core_.stlb_}) {
      const TlbArray* const array = side->of_size(core_.static_size_);
      if (array != nullptr) entries += array->cache.slots();
    }
    least_ = kAccessesAnEntry * (entries + kMost);
    return saved_.size() != 0 && restricted_.size() != 0 && guest_entries_.size() != 0 && nested_entries_.size() != 0 &&
           resolved_.size() != 0;
  }

  template <class Visit>
  void tlb_memory(Visit visit) {
    core_.static_l1_.memory(visit);
    core_.static_stlb_.memory(visit);
  }

  // --- what the tables say ----------------------------------------------------------------------------------------

  // Reads the leaf entries of n pages (n <= kMost) into `guest_entries_` and `nested_entries_`: first the places of all
  // are found and fetched, then they are read. Their bits in common are left in `all` and `all_nested`. False where a
  // page has no leaf of the lull's level.
  bool see(const std::uint64_t* pages, std::uint32_t n, ResolvedPage* resolved, std::uint64_t& all,
           std::uint64_t& all_nested) {
    all = ~std::uint64_t{0};
    all_nested = ~std::uint64_t{0};
    for (std::uint32_t i = 0; i < n; i++) {
      const LeafPlace place = guest_leaves_.place(pages[i], [this](std::uint64_t table) { return table_fits(table); });
      if (place == 0) [[unlikely]]
        return false;
      guest_entries_[i] = place;
      __builtin_prefetch(reinterpret_cast<const void*>(place));
    }
    if constexpr (!kNested) {
      for (std::uint32_t i = 0; i < n; i++) {
        guest_entries_[i] = read_leaf(guest_entries_[i]);
        all &= guest_entries_[i];
      }
    } else {
      for (std::uint32_t i = 0; i < n; i++) {
        const LeafPlace guest_place = guest_entries_[i];
        const std::uint64_t entry = read_leaf(guest_place);
        const std::uint64_t frame = frame_in_leaf(entry, guest_level_, pages[i]);
        guest_entries_[i] = entry;
        all &= entry;
        const LeafPlace place = nested_leaves_.place(frame, [](std::uint64_t) { return true; });
        if (place == 0 || !frame_fits(frame)) [[unlikely]]
          return false;
        resolved[i] = {guest_leaves_.table_of(guest_place), frame};
        nested_entries_[i] = place;
        __builtin_prefetch(reinterpret_cast<const void*>(place));
      }
      for (std::uint32_t i = 0; i < n; i++) {
        nested_entries_[i] = read_leaf(nested_entries_[i]);
        all_nested &= nested_entries_[i];
      }
      if (!nested_.sets_bits()) all_nested |= schema::kEntryDirty;
    }
    return true;
  }

  // Walks ask for the translation of a table; where the nested dimension has A and D, they mean to write.
  bool table_fits(std::uint64_t table) {
    if constexpr (kNested) {
      const LeafPlace place = nested_leaves_.place(table, [](std::uint64_t) { return true; });
      if (place == 0 || !frame_fits(table)) return false;
      const std::uint64_t needed =
          nested_leaves_.needed() | (nested_.sets_bits() ? schema::kEntryWritable | schema::kEntryDirty : 0);
      return (read_leaf(place) & needed) == needed;
    }
    return true;
  }

  // Whether a frame of the guest has room in the keys of the walk caches.
  bool frame_fits(std::uint64_t frame) const { return !Core::kWalksPass || frame < core_.static_walk_.frame_bound(); }

  // What a TLB would hold of the i-th page that was seen.
  TlbPayload seen(std::uint32_t i, std::uint64_t page) const {
    const std::uint64_t entry = guest_entries_[i];
    std::uint64_t rights = entry;
    std::uint64_t frame = frame_in_leaf(entry, guest_level_, page);
    if constexpr (kNested) {
      rights &= nested_entries_[i] | (nested_.sets_bits() ? 0 : std::uint64_t{schema::kEntryDirty});
      frame = frame_in_leaf(nested_entries_[i], nested_level_, frame);
    }
    return {frame & ~((std::uint64_t{1} << shift()) - 1), ((rights & schema::kEntryWritable) != 0 ? kWritable : 0) |
                                                              ((rights & schema::kEntryDirty) != 0 ? kDirty : 0)};
  }

  // The same of any page, and of which size; false where the tables have no such page.
  bool tlb_entry(std::uint64_t page, std::uint32_t& size, TlbPayload& out) const {
    Translation result;
    if (!table_.resolve(page, result)) return false;
    if constexpr (kNested) {
      Translation host;
      if (!nested_.resolve(result.frame, host)) return false;
      result.frame = host.frame;
      if (host.size < result.size) result.size = host.size;
      result.writable = result.writable && host.writable;
      result.dirty = result.dirty && (host.dirty || !nested_.sets_bits());
    }
    size = result.size;
    out = {result.frame & ~((std::uint64_t{1} << size_shift(size)) - 1),
           (result.writable ? kWritable : 0) | (result.dirty ? kDirty : 0)};
    return true;
  }

  // What a PSC of the guest's (or only) dimension would hold of a number.
  bool psc_entry(const Table& table, std::uint32_t k, std::uint64_t number, PscPayload& out) const {
    bool writable = false;
    if (!table.next_table(number << span_shift(k), k, out.table, writable)) return false;
    out.host = out.table;
    bool host_writable = true;
    if constexpr (kNested) {
      Translation host;
      if (!nested_.resolve(out.table, host)) return false;
      out.host = host.frame;
      host_writable = host.writable;
    }
    out.flags = (writable ? kPathWritable : 0) | (host_writable ? kHostWritable : 0);
    return true;
  }

  // The same of the nested dimension.
  bool psc_entry(const NestedTable& table, std::uint32_t k, std::uint64_t number, PscPayload& out) const {
    bool writable = false;
    if (!table.next_table(number << span_shift(k), k, out.table, writable)) return false;
    out.host = out.table;
    out.flags = (writable ? kPathWritable : 0) | kHostWritable;
    return true;
  }

  // What the nested TLB would hold.
  bool ntlb_entry(std::uint64_t frame, std::uint32_t& size, TlbPayload& out) const {
    Translation host;
    if (!nested_.resolve(frame, host)) return false;
    size = host.size;
    out = {host.frame & ~((std::uint64_t{1} << size_shift(size)) - 1),
           (host.writable ? kWritable : 0) | (host.dirty ? kDirty : 0)};
    return true;
  }

  void restrict_page(std::uint64_t page) {
    const std::uint64_t number = page >> shift();
    restricted_[number % kRestrictedPages / 64] |= std::uint64_t{1} << number % 64;
    any_restricted_ = true;
  }

  // --- entries to keys ----------------------------------------------------------------------------------------------

  // Puts the keys of a cache into an array: those of which `own` gives a number as that, the others as parked entries.
  template <class AnyCache, class Payload, class Own>
  static bool park(const AnyCache& cache, const Buffer<Payload>& payloads, PassArray& array, Parked<Payload>& parked,
                   Buffer<std::uint64_t>& keys, Own own) {
    if (parked.size() < cache.slots()) parked.allocate(cache.slots());
    if (keys.size() < cache.slots()) keys.allocate(cache.slots());
    if (parked.size() == 0 || keys.size() == 0) return false;
    array.clear();
    std::uint32_t count = 0;
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      std::uint32_t n = 0;
      cache.visit(set, [&](std::uint32_t slot, std::uint64_t key) {
        std::uint64_t number = 0;
        if (own(key, payloads[slot], number) && number < array.parked_key(0)) {
          keys[n++] = number;
        } else {
          parked[count] = {key, payloads[slot]};
          keys[n++] = array.parked_key(count++);
        }
      });
      array.place(set, keys.data(), n);
    }
    return true;
  }

  bool park_side(TlbSide& side, PassArray& array, Parked<TlbPayload>& parked) {
    for (std::uint32_t i = 0; i < side.count(); i++) {
      TlbArray& general = side.array(i);
      bool same = true;
      if (array.present() && &general == side.of_size(core_.static_size_)) {
        if (!park_tlb(general, array, parked)) return false;
      } else if (compare_) {
        general.cache.visit_slots([&](std::uint32_t slot, std::uint64_t key) {
          same = same && (key >> kOwnerShift != core_.tag_ || is_current(key, general.payloads[slot]));
        });
      }
      if (!same) return false;
    }
    return true;
  }

  // Whether a TLB entry is what the tables say.
  bool is_current(std::uint64_t key, const TlbPayload& payload) const {
    std::uint32_t size = 0;
    TlbPayload now{};
    const std::uint64_t page = number_of_key(key) << size_shift(size_of_key(key));
    return tlb_entry(page, size, now) && size == size_of_key(key) && now == payload;
  }

  bool park_tlb(TlbArray& general, PassArray& array, Parked<TlbPayload>& parked) {
    const std::uint32_t slots = general.cache.slots();
    if (pages_.size() < slots) pages_.allocate(slots);
    if (tlb_made_.all.size() < slots) tlb_made_.all.allocate(slots);
    if (pages_.size() == 0 || tlb_made_.all.size() == 0) return false;
    std::uint32_t claims = 0;
    bool same = true;
    const bool made = park(general.cache, general.payloads, array, parked, keys_,
                           [&](std::uint64_t key, const TlbPayload& payload, std::uint64_t& number) {
                             if (key >> kOwnerShift != core_.tag_ && core_.tag_ != kNoOwner) return false;
                             number = number_of_key(key);
                             if (size_of_key(key) != core_.static_size_) {
                               same = same && (!compare_ || is_current(key, payload));
                               return false;
                             }
                             pages_[claims] = number << shift();
                             tlb_made_.all[claims++] = payload;
                             return true;
                           });
    return made && same && (!compare_ || claims_hold(claims));
  }

  // Whether the first so many payloads are what the tables say of as many pages.
  bool claims_hold(std::uint32_t claims) {
    std::uint64_t all = 0;
    std::uint64_t all_nested = 0;
    for (std::uint32_t done = 0; done < claims; done += kMost) {
      const std::uint32_t n = claims - done < kMost ? claims - done : kMost;
      if (!see(pages_.data() + done, n, resolved_.data(), all, all_nested)) return false;
      if ((all & all_nested & schema::kEntryPresent) == 0) return false;
      for (std::uint32_t i = 0; i < n; i++) {
        const TlbPayload now = seen(i, pages_[done + i]);
        if (now != tlb_made_.all[done + i]) return false;
        if (writes_ && now.flags != (kWritable | kDirty)) restrict_page(pages_[done + i]);
      }
    }
    return true;
  }

  template <class AnyTable>
  bool park_psc(Psc<Cache>& general, const AnyTable& table, StaticPsc& arrays, ParkedPscs& parked) {
    for (std::uint32_t k = 2; k <= table.levels(); k++) {
      PscLevel<Cache>& level = general.level(k);
      if (!level.present) continue;
      bool same = true;
      const auto own = [&](std::uint64_t key, const PscPayload& payload, std::uint64_t& number) {
        if (key >> kOwnerShift != table.owner && core_.tag_ != kNoOwner) return false;
        number = key & kNumberMask;
        PscPayload now{};
        same = same && (!compare_ || (psc_entry(table, k, number, now) && now == payload));
        return true;
      };
      if (core_.static_walk_.present() && arrays.holds(k)) {
        if (!park(level.cache, level.payloads, arrays.array(k), parked.of_level[k], keys_, own)) return false;
      } else if (compare_) {
        std::uint64_t number = 0;
        level.cache.visit_slots([&](std::uint32_t slot, std::uint64_t key) { own(key, level.payloads[slot], number); });
      }
      if (!same) return false;
    }
    return true;
  }

  bool park_ntlb() {
    auto& ntlb = core_.nested_.ntlb;
    if (!ntlb.present()) return true;
    bool same = true;
    const auto own = [&](std::uint64_t key, const TlbPayload& payload, std::uint64_t& number) {
      if (key >> kOwnerShift != nested_.owner && core_.tag_ != kNoOwner) return false;
      number = number_of_key(key);
      const std::uint32_t size = size_of_key(key);
      std::uint32_t size_now = 0;
      TlbPayload now{};
      same = same && (!compare_ ||
                      (ntlb_entry(number << size_shift(size), size_now, now) && size_now == size && now == payload));
      return size == core_.static_walk_.nested().leaf() - 1;
    };
    if (core_.static_walk_.present()) {
      return park(ntlb.cache(), ntlb.payloads(), core_.static_walk_.ntlb(), parked_ntlb_, keys_, own) && same;
    }
    if (compare_) {
      std::uint64_t number = 0;
      ntlb.cache().visit_slots([&](std::uint32_t slot, std::uint64_t key) { own(key, ntlb.payloads()[slot], number); });
    }
    return same;
  }

  // --- keys to entries ----------------------------------------------------------------------------------------------

  // Makes the contents of an array those of a cache. `make` gives the payloads of so many numbers, `key_of` the key of
  // one.
  template <class AnyCache, class Payload, class Make, class KeyOf>
  void settle_array(AnyCache& cache, Buffer<Payload>& payloads, PassArray& array, const Parked<Payload>& parked,
                    Made<Payload>& made, Make make, KeyOf key_of) {
    const std::uint32_t slots = cache.slots();
    if (pages_.size() < slots) pages_.allocate(slots);
    if (keys_.size() < slots) keys_.allocate(slots);
    if (made.all.size() < slots) made.all.allocate(slots);
    if (made.of_set.size() < slots) made.of_set.allocate(slots);
    const auto is_parked = [&](std::uint64_t key) { return array.is_parked(key) && array.parked(key) < parked.size(); };
    std::uint32_t count = 0;
    for (std::uint32_t set = 0; set < array.sets(); set++) {
      array.visit(set, [&](std::uint64_t key) {
        if (!is_parked(key)) pages_[count++] = key;
      });
    }
    make(count);
    cache.clear();
    count = 0;
    for (std::uint32_t set = 0; set < array.sets(); set++) {
      std::uint32_t n = 0;
      array.visit(set, [&](std::uint64_t key) {
        if (is_parked(key)) {
          keys_[n] = parked[array.parked(key)].key;
          made.of_set[n++] = parked[array.parked(key)].payload;
        } else {
          keys_[n] = key_of(key);
          made.of_set[n++] = made.all[count++];
        }
      });
      cache.place(set, keys_.data(), n, [&](std::uint32_t i, std::uint32_t slot) { payloads[slot] = made.of_set[i]; });
    }
  }

  void settle_side(TlbSide& side, PassArray& array, const Parked<TlbPayload>& parked) {
    if (!array.present()) return;
    TlbArray& general = *side.of_size(core_.static_size_);
    side.expect(1u << core_.static_size_);
    settle_array(
        general.cache, general.payloads, array, parked, tlb_made_, [this](std::uint32_t n) { make_tlb(n); },
        [this](std::uint64_t number) { return key_of(number, core_.static_size_, core_.tag_); });
  }

  void make_tlb(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; i++) pages_[i] <<= shift();
    std::uint64_t all = 0;
    std::uint64_t all_nested = 0;
    for (std::uint32_t done = 0; done < count; done += kMost) {
      const std::uint32_t n = count - done < kMost ? count - done : kMost;
      const bool ahead = looks_ahead_ && see(pages_.data() + done, n, resolved_.data(), all, all_nested);
      for (std::uint32_t i = 0; i < n; i++) {
        const std::uint64_t page = pages_[done + i];
        TlbPayload& payload = tlb_made_.all[done + i];
        std::uint32_t size = 0;
        if (ahead) {
          payload = seen(i, page);
        } else if (!tlb_entry(page, size, payload)) {
          payload = {};
        }
      }
    }
  }

  template <class AnyTable>
  void settle_psc(Psc<Cache>& general, const AnyTable& table, StaticPsc& arrays, const ParkedPscs& parked) {
    for (std::uint32_t k = 2; k <= table.levels(); k++) {
      if (!arrays.holds(k)) continue;
      PscLevel<Cache>& level = general.level(k);
      const auto make = [&](std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; i++) {
          if (!psc_entry(table, k, pages_[i], psc_made_.all[i])) psc_made_.all[i] = {};
        }
      };
      settle_array(level.cache, level.payloads, arrays.array(k), parked.of_level[k], psc_made_, make,
                   [&](std::uint64_t number) { return psc_key(number, table.owner); });
    }
  }

  void settle_ntlb() {
    auto& ntlb = core_.nested_.ntlb;
    if (!ntlb.present()) return;
    const std::uint32_t size = core_.static_walk_.nested().leaf() - 1;
    const auto make = [&](std::uint32_t n) {
      std::uint32_t size_now = 0;
      for (std::uint32_t i = 0; i < n; i++) {
        if (!ntlb_entry(pages_[i] << size_shift(size), size_now, tlb_made_.all[i])) tlb_made_.all[i] = {};
      }
    };
    settle_array(ntlb.cache(), ntlb.payloads(), core_.static_walk_.ntlb(), parked_ntlb_, tlb_made_, make,
                 [&](std::uint64_t number) { return key_of(number, size, nested_.owner); });
    ntlb.expect_size(size);
  }

  Core& core_;
  const Table& table_;
  const NestedTable& nested_;

  std::uint64_t least_ = 4 * std::uint64_t{kMost};
  bool many_walks_ = false;
  std::uint64_t patience_ = kLeastPatience;
  std::uint64_t calm_ = 0;
  bool eager_ = false;

  std::uint32_t guest_level_ = 1;
  std::uint32_t nested_level_ = 1;
  // Whether the stream can write; whether entries are compared; whether leaf entries may be found by their tables.
  bool writes_ = false;
  bool compare_ = false;
  bool looks_ahead_ = false;
  LeafTables<Table> guest_leaves_;
  LeafTables<NestedTable> nested_leaves_;
  Buffer<std::uint64_t> guest_entries_;
  Buffer<std::uint64_t> nested_entries_;
  Buffer<ResolvedPage> resolved_;
  // Pages of which some right or the dirty bit is missing.
  Buffer<std::uint64_t> restricted_;
  bool any_restricted_ = false;

  Parked<TlbPayload> parked_l1_;
  Parked<TlbPayload> parked_stlb_;
  Parked<TlbPayload> parked_ntlb_;
  ParkedPscs guest_psc_;
  ParkedPscs nested_psc_;
  Buffer<std::uint64_t> keys_;
  Buffer<std::uint64_t> pages_;
  Made<TlbPayload> tlb_made_;
  Made<PscPayload> psc_made_;
  Buffer<std::uint8_t> saved_;
  std::uint32_t batches_a_save_ = 1;
};

}  // namespace nestwalk::NESTWALK_TIER
