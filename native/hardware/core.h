// The core. Two ways through the same hardware:
//
// - general: one access after the other through L1, STLB and the walker, with faults, rights and dirty bits; mirrors
//   src/hardware/core.ts line by line.
// - static: in a run that can change nothing, the TLBs do not depend on what walks find. Each level passes over a whole
//   batch, and the misses of the last level are walked with their leaf entries prefetched.
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>

#include "../machine.h"
#include "../schema.h"
#include "access.h"
#include "dimension.h"
#include "observers.h"
#include "passArray.h"
#include "staticWalk.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

inline constexpr std::uint32_t kCoreBatch = 1024;
inline constexpr std::uint32_t kPageOffsetMask = (1u << schema::kKindShift) - 1;
// How many misses ahead the leaf entries of the guest's (or only) table, and then of the nested one, are fetched.
inline constexpr std::uint32_t kTableAhead = 24;
inline constexpr std::uint32_t kNestedAhead = 12;

template <class Cache, bool kNested, bool kExtras>
class StateFormat;  // state.h

template <class Cache, bool kNested, bool kExtras>
class Core final : public Machine {
 public:
  Core(const double* machine, std::uint64_t* memory, std::size_t words, const WorkloadView& workload)
      : memory_(memory), words_(words) {
    const auto at = [machine](std::size_t slot) { return static_cast<std::uint32_t>(machine[slot]); };
    const std::uint32_t l1d_count = at(schema::kMachineL1dCount);
    const std::uint32_t l1i_count = at(schema::kMachineL1iCount);
    const std::uint32_t seed_low = at(schema::kMachineSeedLow);
    const std::uint32_t seed_high = at(schema::kMachineSeedHigh);
    has_l1i_ = l1i_count > 0;
    l1d_.allocate(machine + schema::kMachineL1d, l1d_count, 0, seed_low, seed_high);
    l1i_.allocate(machine + schema::kMachineL1i, l1i_count, l1d_count, seed_low, seed_high);
    stlb_.allocate(machine + schema::kMachineStlb, at(schema::kMachineStlbCount), l1d_count + l1i_count, seed_low,
                   seed_high);
    state_.caches.allocate(machine);
    if (at(schema::kMachinePwcEntries) > 0) {
      state_.pwc.allocate(at(schema::kMachinePwcEntries), at(schema::kMachinePwcWays),
                          static_cast<schema::PwcHolds>(at(schema::kMachinePwcHolds)));
    }
    if constexpr (kNested) {
      nested_.allocate(&state_);
      nested_.table.allocate(machine + schema::kMachineNestedPsc, at(schema::kMachineNestedLevels),
                             at(schema::kMachineNestedAD) == 1, &state_, nullptr);
      if (at(schema::kMachineNtlbEntries) > 0) {
        nested_.ntlb.allocate(
            at(schema::kMachineNtlbEntries), at(schema::kMachineNtlbWays),
            static_cast<schema::NtlbHolds>(at(schema::kMachineNtlbHolds)) == schema::NtlbHolds::kTables);
      }
    }
    table_.allocate(machine + schema::kMachinePsc, at(schema::kMachineGuestLevels), true, &state_, &nested_);
    state_.observes_unique = at(schema::kMachineUnique) == 1;
    observes_reuse_ = at(schema::kMachineReuse) == 1;
    data_through_caches_ = at(schema::kMachineDataThroughCaches) == 1;
    static_run_ = at(schema::kMachineStaticRun) == 1;
    has_workload_ = workload.components != nullptr;
    if (has_workload_) {
      const auto components = static_cast<std::uint32_t>(workload.component_slots / schema::kComponentSlots);
      if (!generator_.init(workload.components, components, workload.links, workload.link_count, workload.tables,
                           workload.table_count, workload.seed_low, workload.seed_high)) {
        allocation_failed = true;
      }
    }
    plan_static(machine);
  }

  bool load_context(const double* context) override {
    const auto at = [context](std::size_t slot) { return static_cast<std::uint64_t>(context[slot]); };
    TableZone guest{at(schema::kContextGuestZoneBase), at(schema::kContextGuestZoneFrames), nullptr};
    TableZone nested{at(schema::kContextNestedZoneBase), at(schema::kContextNestedZoneFrames), nullptr};
    if (!place(guest, at(schema::kContextGuestZoneWord))) return false;
    if (kNested && !place(nested, at(schema::kContextNestedZoneWord))) return false;
    leave_static_way(context);
    tag_ = tags_.id(context[schema::kContextTag]);
    const std::uint64_t vm = vms_.id(context[schema::kContextVm]);
    if (tags_.size() > kMaxOwners || vms_.size() > kMaxOwners) return false;
    while (vm_of_tag_.size() <= tag_) vm_of_tag_.push(0);
    vm_of_tag_[tag_] = vm;
    table_.root = at(schema::kContextRoot);
    table_.owner = tag_;
    table_.zone = guest;
    static_walk_.forget_tables();
    if constexpr (kNested) {
      nested_.table.root = at(schema::kContextNestedRoot);
      nested_.table.owner = vm;
      nested_.table.zone = nested;
    }
    return true;
  }

  std::uint64_t run_synthetic(std::uint64_t from, std::uint64_t count) override {
    if (!has_workload_) return 0;
    if (static_tlbs_) return run_static(from, count);
    if (generator_.has_runs() && !data_through_caches_) return run_pages(from, count);
    for (std::uint64_t done = 0; done < count; done += kCoreBatch) {
      const auto batch = static_cast<std::uint32_t>(count - done < kCoreBatch ? count - done : kCoreBatch);
      generator_.template fill<Need::kWords>(from + done, batch, pages_, words_of_batch_);
      for (std::uint32_t i = 0; i < batch; i++) {
        if (!complete(pages_[i], words_of_batch_[i], from + done + i)) return done + i;
      }
    }
    status_ = Status::kDone;
    return count;
  }

  std::uint64_t run_recorded(const double* pages, const std::uint16_t* words, std::uint64_t count,
                             std::uint64_t index) override {
    if (static_tlbs_) return run_static_recorded(pages, words, count, index);
    for (std::uint64_t i = 0; i < count; i++) {
      if (!complete(static_cast<std::uint64_t>(pages[i]), words[i], index + i)) return i;
    }
    status_ = Status::kDone;
    return count;
  }

  void invlpg(double tag, std::uint64_t page) override {
    state_.pwc.clear();
    std::uint64_t owner = 0;
    if (!tags_.known(tag, owner)) return;
    drop_page(page, owner);
    table_.psc.drop_owner(owner);
    if (owner == tag_) {
      static_l1_.drop(page >> size_shift(static_size_));
      static_stlb_.drop(page >> size_shift(static_size_));
      static_walk_.guest().clear();
    }
  }

  void flush_tag(double tag) override {
    state_.pwc.clear();
    std::uint64_t owner = 0;
    if (tags_.known(tag, owner)) flush_owner(owner);
  }

  void invept(double vm) override {
    state_.pwc.clear();
    if constexpr (kNested) {
      std::uint64_t id = 0;
      if (!vms_.known(vm, id)) return;
      for (std::uint64_t tag = 0; tag < vm_of_tag_.size(); tag++) {
        if (vm_of_tag_[tag] == id) flush_owner(tag);
      }
      if (nested_.ntlb.present()) nested_.ntlb.drop_owner(id);
      nested_.table.psc.drop_owner(id);
      if (id == nested_.table.owner) static_walk_.clear();
    }
  }

  void flush_all() override {
    l1d_.clear();
    l1i_.clear();
    stlb_.clear();
    static_l1_.clear();
    static_stlb_.clear();
    static_walk_.clear();
    table_.psc.clear();
    state_.pwc.clear();
    if constexpr (kNested) {
      if (nested_.ntlb.present()) nested_.ntlb.cache().clear();
      nested_.table.psc.clear();
    }
  }

  void read_counters(double* counters) const override {
    for (std::size_t i = 0; i < schema::kCounterSlots; i++) counters[i] = static_cast<double>(state_.counters[i]);
    if constexpr (!kExtras) {
      // Memory served every reference, so these are sums (WalkState::reference).
      for (std::size_t position = 0; position < schema::kPositions; position++) {
        const bool guest =
            position / schema::kColumns == schema::kRowPt || position % schema::kColumns == schema::kColumnG;
        counters[schema::kCounterRefHits + (guest ? 0 : schema::kMaxCaches + 1)] +=
            counters[schema::kCounterRefs + position] + counters[schema::kCounterFaultRefs + position];
      }
    }
  }

  void write_counters(const double* counters) override {
    for (std::size_t i = 0; i < schema::kCounterSlots; i++)
      state_.counters[i] = static_cast<std::uint64_t>(counters[i]);
    if constexpr (!kExtras) {
      state_.counters[schema::kCounterRefHits] = 0;
      state_.counters[schema::kCounterRefHits + schema::kMaxCaches + 1] = 0;
    }
  }

  void read_fault(double* fault) const override {
    fault[schema::kFaultIndex] = static_cast<double>(fault_index_);
    fault[schema::kFaultPage] = static_cast<double>(fault_page_);
    fault[schema::kFaultOffset] = fault_word_ & kPageOffsetMask;
    fault[schema::kFaultKind] = fault_word_ >> schema::kKindShift;
    fault[schema::kFaultGpaFrame] = static_cast<double>(state_.fault_gpa_frame);
    fault[schema::kFaultIntentWrite] = state_.fault_write ? 1 : 0;
    fault[schema::kFaultRow] = state_.fault_row;
    fault[schema::kFaultDetail] = static_cast<double>(status_);
  }

  void read_unique(double* counts) const override { state_.unique.read(counts); }
  std::size_t read_reuse(double* out) override { return reuse_.read(out); }
  std::size_t save_state(double* out) override { return StateFormat<Cache, kNested, kExtras>(*this).save(out); }
  bool set_miss_sink(MissSink* sink) override {
    miss_sink_ = sink;
    return static_tlbs_;
  }

  bool walk_pages(const std::uint64_t* pages, const ResolvedPage* resolved, std::uint32_t count) override {
    for (std::uint32_t done = 0; done < count; done += kCoreBatch) {
      const std::uint32_t batch = count - done < kCoreBatch ? count - done : kCoreBatch;
      if (!walk_all(pages + done, resolved == nullptr ? nullptr : resolved + done, batch)) return false;
    }
    return true;
  }

  void count_walks(std::uint64_t count) override { static_walk_.count(count, state_.counters); }

  bool walks_need_resolved() const override { return static_walk_.present() && static_walk_.needs_resolved(); }

  bool resolve_pages(const std::uint64_t* pages, std::uint32_t count, ResolvedPage* resolved) override {
    for (std::uint32_t done = 0; done < count; done += kCoreBatch) {
      const std::uint32_t batch = count - done < kCoreBatch ? count - done : kCoreBatch;
      const Status status = static_walk_.resolve(pages + done, batch, table_.zone, table_.root, resolved + done);
      if (status != Status::kDone) {
        broken_promise(status, pages[done]);
        return false;
      }
    }
    return true;
  }

  bool copy_walker(Machine& other) override {
    auto& from = static_cast<Core&>(other);
    std::memcpy(state_.counters, from.state_.counters, sizeof state_.counters);
    Buffer<double> state(from.save_state(nullptr));
    if (state.size() == 0) return true;  // Nothing that walks could remember.
    from.save_state(state.data());
    return load_state(state.data(), state.size());
  }

  void copy_counters(Machine& other) override {
    std::memcpy(state_.counters, static_cast<Core&>(other).state_.counters, sizeof state_.counters);
  }

  bool walks_need_pages() const override { return !static_walk_.present() || static_walk_.needs_pages(); }

  void share_scratch(Machine& other) override {
    static_walk_.use(static_cast<Core&>(other).static_walk_.scratch());
    own_scratch_.allocate(0);
  }

  bool load_state(const double* state, std::size_t length) override {
    return StateFormat<Cache, kNested, kExtras>(*this).load(state, length);
  }

 private:
  using Table = Radix<kNested ? Role::kGuest : Role::kOnly, Cache>;

  // Makes the static way's structures where the run allows them; see passArray.h and staticWalk.h.
  void plan_static(const double* machine) {
    // Recorded accesses may be fetches, which the static way does not send to an L1 of their own.
    if (!static_run_ || data_through_caches_ || observes_reuse_ || (has_l1i_ && !has_workload_)) return;
    static_size_ = static_cast<std::uint32_t>(machine[schema::kMachineStaticSize]);
    const double* l1 = array_of_size(machine, schema::kMachineL1d, schema::kMachineL1dCount);
    const double* stlb = array_of_size(machine, schema::kMachineStlb, schema::kMachineStlbCount);
    if (!fits_static(l1) || !fits_static(stlb)) return;
    const auto bound = static_cast<std::uint64_t>(machine[schema::kMachinePageBound]);
    const bool narrow = (bound >> size_shift(static_size_)) < ~std::uint32_t{0};
    if (l1 != nullptr) {
      static_l1_.allocate(static_cast<std::uint32_t>(l1[0]), static_cast<std::uint32_t>(l1[1]), narrow);
    }
    if (stlb != nullptr) {
      static_stlb_.allocate(static_cast<std::uint32_t>(stlb[0]), static_cast<std::uint32_t>(stlb[1]), narrow);
    }
    static_tlbs_ = true;
    if constexpr (!kExtras) {
      own_scratch_.allocate(1);
      static_walk_.allocate(machine);
      static_walk_.use(own_scratch_.data());
    }
  }

  // The static way keeps no tags. When another address space is loaded, the general structures take over what it holds.
  void leave_static_way(const double* context) {
    if (!static_tlbs_ || tags_.size() == 0) return;
    const bool same = tags_.value(tag_) == context[schema::kContextTag] &&
                      (!kNested || vms_.value(vm_of_tag_[tag_]) == context[schema::kContextVm]);
    if (same) return;
    Buffer<double> state(save_state(nullptr));
    if (state.size() != 0) save_state(state.data());
    static_tlbs_ = false;
    static_l1_.retire();
    static_stlb_.retire();
    static_walk_.retire();
    if (state.size() != 0) load_state(state.data(), state.size());
  }

  const double* array_of_size(const double* machine, std::size_t side, std::size_t count) const {
    for (std::size_t i = 0; i < static_cast<std::size_t>(machine[count]); i++) {
      const double* shape = machine + side + i * schema::kArraySlots;
      if (static_cast<std::uint32_t>(shape[2]) >> static_size_ & 1) return shape;
    }
    return nullptr;
  }

  static bool fits_static(const double* shape) {
    return shape == nullptr || static_cast<int>(shape[3]) == static_cast<int>(schema::Replacement::kLru);
  }

  bool place(TableZone& zone, std::uint64_t word) {
    if (word > words_ || zone.frames > (words_ - word) / schema::kEntriesPerTable) return false;
    zone.entries = memory_ + word;
    return true;
  }

  // --- the static way ---------------------------------------------------------------------------------------------

  std::uint64_t run_static(std::uint64_t from, std::uint64_t count) {
    // Runs of one page need an L1 that holds the page: their further accesses are hits at the most recent place.
    const bool runs = generator_.has_runs() && static_l1_.present();
    std::uint64_t done = 0;
    while (done < count) {
      std::uint32_t batch = 0;
      std::uint64_t repeats = 0;
      std::uint64_t writes = 0;
      std::uint64_t taken = 0;
      if (runs) {
        while (batch < kCoreBatch && done + taken < count) {
          std::uint64_t length = 0;
          generator_.next_run(from + done + taken, count - done - taken, pages_[batch++], length);
          taken += length;
        }
        repeats = taken - batch;
      } else {
        batch = static_cast<std::uint32_t>(count - done < kCoreBatch ? count - done : kCoreBatch);
        writes =
            generator_.template fill<Need::kPages>(from + done, batch, pages_, static_cast<std::uint16_t*>(nullptr));
        taken = batch;
      }
      const std::uint32_t completed = pass_static(pages_, batch, repeats);
      if (completed < batch) {
        fault_index_ = from + done;
        return done;
      }
      count_kinds(taken - writes, writes, 0);
      done += taken;
    }
    status_ = Status::kDone;
    return count;
  }

  std::uint64_t run_static_recorded(const double* pages, const std::uint16_t* words, std::uint64_t count,
                                    std::uint64_t index) {
    for (std::uint64_t done = 0; done < count; done += kCoreBatch) {
      const auto batch = static_cast<std::uint32_t>(count - done < kCoreBatch ? count - done : kCoreBatch);
      std::uint64_t kinds[4] = {};
      std::uint32_t distinct = 0;
      // A page repeated back to back is a hit at the most recent place of an L1 that holds it.
      for (std::uint32_t i = 0; i < batch; i++) {
        const auto page = static_cast<std::uint64_t>(pages[done + i]);
        kinds[words[done + i] >> schema::kKindShift & 3]++;
        const bool repeated = static_l1_.present() && distinct > 0 && pages_[distinct - 1] == page;
        pages_[distinct] = page;
        distinct += !repeated;
      }
      if (pass_static(pages_, distinct, batch - distinct) < distinct) {
        fault_index_ = index + done;
        return done;
      }
      count_kinds(kinds[0], kinds[1], kinds[2]);
    }
    status_ = Status::kDone;
    return count;
  }

  void count_kinds(std::uint64_t reads, std::uint64_t writes, std::uint64_t fetches) {
    state_.counters[schema::kCounterAccesses] += reads + writes + fetches;
    state_.counters[schema::kCounterReads] += reads;
    state_.counters[schema::kCounterWrites] += writes;
    state_.counters[schema::kCounterFetches] += fetches;
  }

  // One batch of pages through both TLB levels and the walker. Returns n, or 0 when a table broke its promise.
  std::uint32_t pass_static(const std::uint64_t* pages, std::uint32_t n, std::uint64_t repeats) {
    const std::uint64_t* missed = pages;
    std::uint32_t l1_missed = n;
    if (static_l1_.present()) {
      l1_missed = pass_tlb(static_l1_, pages, n);
      missed = missed_;
    }
    if (miss_sink_ != nullptr) {
      state_.counters[schema::kCounterL1Hits + static_size_] += n - l1_missed + repeats;
      state_.counters[schema::kCounterL1Misses] += l1_missed;
      return miss_sink_->take(missed, l1_missed) ? n : broken_promise(Status::kNotStatic, missed[0]);
    }
    std::uint32_t stlb_missed = l1_missed;
    if (static_stlb_.present()) {
      stlb_missed = pass_tlb(static_stlb_, missed, l1_missed);
      missed = missed_;
    }
    state_.counters[schema::kCounterL1Hits + static_size_] += n - l1_missed + repeats;
    state_.counters[schema::kCounterL1Misses] += l1_missed;
    state_.counters[schema::kCounterStlbHits + static_size_] += l1_missed - stlb_missed;
    state_.counters[schema::kCounterStlbMisses] += stlb_missed;
    state_.counters[schema::kCounterWalks] += stlb_missed;
    return walk_all(missed, nullptr, stlb_missed) ? n : 0;
  }

  // Walks for pages in order. `resolved`: what resolve_pages gave for them, or null.
  bool walk_all(const std::uint64_t* pages, const ResolvedPage* resolved, std::uint32_t n) {
    if (static_walk_.present()) {
      const Status status = static_walk_.run(pages, resolved, n, table_.zone, table_.root, state_.counters);
      if (status != Status::kDone) broken_promise(status, pages[0]);
      return status == Status::kDone;
    }
    for (std::uint32_t i = 0; i < n; i++) {
      prefetch(pages, i, n);
      const Status status = walk_static(pages[i]);
      if (status != Status::kDone) [[unlikely]] {
        broken_promise(status, pages[i]);
        return false;
      }
    }
    return true;
  }

  // A static run met a table that is corrupt or may change: none of the batch counts as completed.
  std::uint32_t broken_promise(Status status, std::uint64_t page) {
    status_ = status == Status::kCorruptTable ? status : Status::kNotStatic;
    fault_page_ = page;
    fault_word_ = 0;
    return 0;
  }

  // Looks n pages up in order; writes those that missed to `missed_` (which may be `pages`) and returns their number.
  std::uint32_t pass_tlb(PassArray& tlb, const std::uint64_t* pages, std::uint32_t n) {
    const unsigned shift = size_shift(static_size_);
    std::uint32_t out = 0;
    tlb.pass([&](auto access) {
      std::uint32_t missed = 0;
      for (std::uint32_t i = 0; i < n; i++) {
        const std::uint64_t page = pages[i];
        const bool hit = access(page >> shift);
        missed_[missed] = page;
        missed += !hit;
      }
      out = missed;
    });
    return out;
  }

  // Fetches what walks further on will read: the leaf entries of both dimensions, and the tags of far PTE caches.
  // Inlined always: a function that only prefetches has no effect in GCC's eyes, and calls of it are dropped.
  [[gnu::always_inline]] void prefetch(const std::uint64_t* missed, std::uint32_t i, std::uint32_t n) {
    std::uint32_t level = 0;
    if (i + kTableAhead < n) __builtin_prefetch(table_.leaf_entry(missed[i + kTableAhead], false, level));
    if (i + kNestedAhead >= n) return;
    const std::uint64_t page = missed[i + kNestedAhead];
    const std::uint64_t* leaf = table_.leaf_entry(page, true, level);
    if (leaf == nullptr) return;
    std::uint64_t table_frame = 0;
    const std::uint64_t offset = table_.zone.address_of(leaf, table_frame);
    if constexpr (kNested) {
      const std::uint64_t* nested_leaf = nested_.table.leaf_entry(frame_in_leaf(*leaf, level, page), false, level);
      __builtin_prefetch(nested_leaf);
      if constexpr (kExtras) {
        Translation host;
        if (nested_leaf == nullptr || !nested_.table.resolve(table_frame, host)) return;
        state_.caches.prefetch((host.frame << kFrameShift) + offset);
        std::uint64_t nested_frame = 0;
        const std::uint64_t nested_offset = nested_.table.zone.address_of(nested_leaf, nested_frame);
        state_.caches.prefetch((nested_frame << kFrameShift) + nested_offset);
      }
    } else if constexpr (kExtras) {
      state_.caches.prefetch((table_frame << kFrameShift) + offset);
    }
  }

  // Flattened: with PTE caches a walk is many small steps, and calls between them cost a tenth of it.
  [[gnu::flatten]] Status walk_static(std::uint64_t page) {
    state_.log_length = 0;
    Translation guest;
    Status status = table_.template translate<kExtras, true>(page, false, 0, guest);
    if constexpr (kNested) {
      if (status == Status::kDone) {
        Translation host;
        status = nested_.template translate<kExtras, true>(guest.frame, false,
                                                           static_cast<std::uint32_t>(schema::kRowGpa), host);
      }
    }
    if constexpr (kExtras) {
      if (state_.observes_unique && status == Status::kDone) {
        state_.unique.record(state_.log_positions, state_.log_words, state_.log_length);
      }
    }
    return status;
  }

  // --- the general way --------------------------------------------------------------------------------------------

  // Two accesses of each run of one page go through the core; the rest are hits like the second (src/hardware/core.ts).
  std::uint64_t run_pages(std::uint64_t from, std::uint64_t count) {
    std::uint64_t done = 0;
    while (done < count) {
      std::uint64_t page = 0;
      std::uint64_t length = 0;
      generator_.next_run(from + done, count - done, page, length);
      for (std::uint64_t i = 0; i < 2 && i < length; i++) {
        if (!complete(page, 0, from + done)) return done;
        done++;
      }
      if (length > 2) done += repeat(page, from + done, length - 2);
    }
    status_ = Status::kDone;
    return count;
  }

  std::uint64_t repeat(std::uint64_t page, std::uint64_t index, std::uint64_t count) {
    TlbHit hit;
    if (l1d_.find(page, tag_, hit)) {
      state_.counters[schema::kCounterAccesses] += count;
      state_.counters[schema::kCounterReads] += count;
      state_.counters[schema::kCounterL1Hits + hit.size] += count;
      if (observes_reuse_) reuse_.record_repeats(count);
      return count;
    }
    for (std::uint64_t i = 0; i < count; i++) access(page, 0, index + i);
    return count;
  }

  // One access; on a fault notes what the caller reports.
  bool complete(std::uint64_t page, std::uint32_t word, std::uint64_t index) {
    Status status = access(page, word, index);
    if (static_run_ && state_.changed) status = Status::kNotStatic;
    if (status == Status::kDone) [[likely]]
      return true;
    fault_index_ = index;
    fault_page_ = page;
    fault_word_ = word;
    status_ = static_run_ && status != Status::kCorruptTable ? Status::kNotStatic : status;
    return false;
  }

  // Nothing of an access that faults is counted but the walk's own events.
  Status access(std::uint64_t page, std::uint32_t word, std::uint64_t index) {
    std::uint64_t* const counters = state_.counters;
    const std::uint32_t kind = word >> schema::kKindShift;
    const bool write = kind == static_cast<std::uint32_t>(schema::AccessKind::kWrite);
    const bool instruction = has_l1i_ && kind == static_cast<std::uint32_t>(schema::AccessKind::kFetch);
    TlbSide& l1 = instruction ? l1i_ : l1d_;

    std::int32_t hit_l1 = -1;
    std::int32_t hit_stlb = -1;
    bool walked = false;
    TlbHit hit;
    if (l1.find(page, tag_, hit)) {
      hit_l1 = static_cast<std::int32_t>(hit.size);
      const TlbPayload payload = hit.array->payloads[static_cast<std::uint32_t>(hit.slot)];
      if (!write || payload.flags == (kWritable | kDirty)) {
        hit.array->cache.promote(hit.slot);
        data_frame_ = payload.frame + offset_frames(page, hit.size);
      } else {
        const Status status = walk_for_write(l1, hit.size, page, index);
        if (status != Status::kDone) return status;
        walked = true;
      }
    } else if (stlb_.find(page, tag_, hit)) {
      hit_stlb = static_cast<std::int32_t>(hit.size);
      const TlbPayload payload = hit.array->payloads[static_cast<std::uint32_t>(hit.slot)];
      if (!write || payload.flags == (kWritable | kDirty)) {
        hit.array->cache.promote(hit.slot);
        l1.fill(page, hit.size, tag_, payload, index);
        data_frame_ = payload.frame + offset_frames(page, hit.size);
      } else {
        const Status status = walk_for_write(l1, hit.size, page, index);
        if (status != Status::kDone) return status;
        walked = true;
      }
    } else {
      const Status status = walk(page, write);
      if (status != Status::kDone) return status;
      fill_tlbs(l1, page, index);
      walked = true;
    }

    counters[schema::kCounterAccesses]++;
    counters[write                                                            ? schema::kCounterWrites
             : kind == static_cast<std::uint32_t>(schema::AccessKind::kFetch) ? schema::kCounterFetches
                                                                              : schema::kCounterReads]++;
    if (hit_l1 >= 0) {
      counters[(instruction ? schema::kCounterL1iHits : schema::kCounterL1Hits) + static_cast<std::size_t>(hit_l1)]++;
    } else {
      counters[instruction ? schema::kCounterL1iMisses : schema::kCounterL1Misses]++;
      if (hit_stlb >= 0) {
        counters[schema::kCounterStlbHits + static_cast<std::size_t>(hit_stlb)]++;
      } else {
        counters[schema::kCounterStlbMisses]++;
      }
    }
    if (walked) {
      counters[schema::kCounterWalks]++;
      if (hit_l1 >= 0 || hit_stlb >= 0) counters[schema::kCounterDirtyWalks]++;
      if (state_.observes_unique) state_.unique.record(state_.log_positions, state_.log_words, state_.log_length);
    }
    if (data_through_caches_) {
      counters[schema::kCounterDataHits +
               state_.caches.access((data_frame_ << kFrameShift) + (word & kPageOffsetMask))]++;
    }
    if (observes_reuse_) reuse_.record(page, tag_);
    return Status::kDone;
  }

  // A write that hit an entry without the right or the dirty bit: drops the entry, unpromoted, and walks.
  Status walk_for_write(TlbSide& l1, std::uint32_t size, std::uint64_t page, std::uint64_t index) {
    l1.drop(page, size, tag_);
    stlb_.drop(page, size, tag_);
    const Status status = walk(page, true);
    if (status != Status::kDone) return status;
    // The walk may have found another size than the one dropped: a fill takes the place of an entry with its own key.
    l1.drop(page, walk_size_, tag_);
    stlb_.drop(page, walk_size_, tag_);
    fill_tlbs(l1, page, index);
    return status;
  }

  void fill_tlbs(TlbSide& l1, std::uint64_t page, std::uint64_t index) {
    stlb_.fill(page, walk_size_, tag_, walk_payload_, index);
    l1.fill(page, walk_size_, tag_, walk_payload_, index);
  }

  // Walks for a page. On a fault drops what the hardware drops and moves the references to `faultRefs`.
  Status walk(std::uint64_t page, bool write) {
    state_.log_length = 0;
    Translation result;
    Status status = table_.template translate<kExtras, false>(page, write, 0, result);
    if constexpr (kNested) {
      if (status == Status::kDone) {
        Translation host;
        status = nested_.template translate<kExtras, false>(result.frame, write,
                                                            static_cast<std::uint32_t>(schema::kRowGpa), host);
        result.frame = host.frame;
        if (host.size < result.size) result.size = host.size;
        result.writable = result.writable && host.writable;
        result.dirty = result.dirty && (host.dirty || !nested_.table_reads_are_writes());
      }
    }
    if (status != Status::kDone) [[unlikely]] {
      drop_on_fault(page, status);
      return status;
    }
    data_frame_ = result.frame;
    walk_size_ = result.size;
    walk_payload_ = {result.frame - offset_frames(page, result.size),
                     (result.writable ? kWritable : 0) | (result.dirty ? kDirty : 0)};
    return status;
  }

  // What the hardware drops before it reports a fault (SDM vol. 3A 4.10.4.1, vol. 3C 28.3.3.1).
  void drop_on_fault(std::uint64_t page, Status status) {
    state_.move_to_fault_refs();
    drop_page(page, tag_);
    table_.psc.drop_page(page, tag_);
    if (status == Status::kNestedViolation) {
      state_.counters[schema::kCounterNestedViolations]++;
      if constexpr (kNested) {
        if (nested_.ntlb.present()) nested_.ntlb.drop_page(state_.fault_gpa_frame, nested_.table.owner);
        nested_.table.psc.drop_page(state_.fault_gpa_frame, nested_.table.owner);
      }
    } else if (status == Status::kGuestFault) {
      state_.counters[schema::kCounterGuestFaults]++;
    }
  }

  void drop_page(std::uint64_t page, std::uint64_t owner) {
    l1d_.drop_page(page, owner);
    l1i_.drop_page(page, owner);
    stlb_.drop_page(page, owner);
  }

  void flush_owner(std::uint64_t owner) {
    l1d_.drop_tag(owner);
    l1i_.drop_tag(owner);
    stlb_.drop_tag(owner);
    // Static TLBs keep no tags, because a static run has one.
    if (owner == tag_) {
      static_l1_.clear();
      static_stlb_.clear();
      static_walk_.guest().clear();
    }
    table_.psc.drop_owner(owner);
  }

  // Offset of a page, in 4 KiB frames, from the start of its page of a size.
  static std::uint64_t offset_frames(std::uint64_t page, std::uint32_t size) {
    return page & ((std::uint64_t{1} << size_shift(size)) - 1);
  }

  template <class, bool, bool>
  friend class StateFormat;

  std::uint64_t* memory_;
  std::size_t words_;
  TlbSide l1d_;
  TlbSide l1i_;
  TlbSide stlb_;
  PassArray static_l1_;
  PassArray static_stlb_;
  StaticWalk<kCoreBatch, kNested> static_walk_;
  Buffer<WalkScratch<kCoreBatch>> own_scratch_;
  MissSink* miss_sink_ = nullptr;
  bool static_tlbs_ = false;
  std::uint32_t static_size_ = 0;
  WalkState state_;
  Table table_;
  NestedDimension<Cache> nested_;
  ReuseDistances reuse_;
  Owners tags_;
  Owners vms_;
  List<std::uint64_t> vm_of_tag_;
  std::uint64_t tag_ = 0;
  bool has_l1i_ = false;
  bool has_workload_ = false;
  bool observes_reuse_ = false;
  bool data_through_caches_ = false;
  bool static_run_ = false;
  std::uint64_t data_frame_ = 0;
  std::uint32_t walk_size_ = 0;
  TlbPayload walk_payload_{0, 0};
  Status status_ = Status::kDone;
  std::uint64_t fault_index_ = 0;
  std::uint64_t fault_page_ = 0;
  std::uint32_t fault_word_ = 0;
  AccessGenerator generator_;
  alignas(64) std::uint64_t pages_[kCoreBatch];
  alignas(64) std::uint64_t missed_[kCoreBatch];
  alignas(64) std::uint16_t words_of_batch_[kCoreBatch];
};

}  // namespace nestwalk::NESTWALK_TIER

#include "state.h"
