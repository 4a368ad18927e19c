// The core. Two ways through the same hardware:
//
// - general: one access after the other through L1, STLB and the walker, with faults, rights and dirty bits; mirrors
//   src/hardware/core.ts line by line.
// - static: where nothing can change, the TLBs do not depend on what walks find. Each level passes over a whole batch,
//   and the misses of the last level are walked with their leaf entries prefetched. A run that is promised to be static
//   takes this way from its first access on; any other for a lull at a time (lull.h).
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>

#include "../machine.h"
#include "../schema.h"
#include "access.h"
#include "dimension.h"
#include "lull.h"
#include "observers.h"
#include "owners.h"
#include "passArray.h"
#include "staticWalk.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

inline constexpr std::uint32_t kCoreBatch = 1024;
inline constexpr std::uint32_t kEagerBatch = 30;
inline constexpr std::uint32_t kPageOffsetMask = (1u << schema::kKindShift) - 1;
// How many misses ahead the leaf entries of the guest's (or only) table, and then of the nested one, are fetched.
inline constexpr std::uint32_t kTableAhead = 24;
inline constexpr std::uint32_t kNestedAhead = 12;

template <class Cache, bool kNested, bool kExtras>
class StateFormat;  // state.h

// A workload as the cores of this tier know it.
class DecodedWorkload final : public Workload {
 public:
  AccessGenerator generator;
};

template <class Cache, bool kNested, bool kExtras>
class Core final : public Machine {
 public:
  // Whether the walks of the static way go in passes, too (staticWalk.h).
  static constexpr bool kWalksPass = !kExtras;

  Core(const double* machine, std::uint64_t* memory, std::size_t words) : memory_(memory), words_(words) {
    std::memcpy(machine_, machine, sizeof machine_);
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
    if (at(schema::kMachineEagerLulls) == 1) {
      lull_.be_eager();
      batch_limit_ = kEagerBatch;
    }
    if (static_run_) plan_static();
  }

  bool load_workload(Workload* workload) override {
    generator_ = workload == nullptr ? nullptr : &static_cast<DecodedWorkload*>(workload)->generator;
    return generator_ == nullptr || generator_->use(&generator_scratch_);
  }

  bool load_context(const double* context) override {
    const auto at = [context](std::size_t slot) { return static_cast<std::uint64_t>(context[slot]); };
    TableZone guest{at(schema::kContextGuestZoneBase), at(schema::kContextGuestZoneFrames), nullptr};
    TableZone nested{at(schema::kContextNestedZoneBase), at(schema::kContextNestedZoneFrames), nullptr};
    if (!place(guest, at(schema::kContextGuestZoneWord))) return false;
    if (kNested && !place(nested, at(schema::kContextNestedZoneWord))) return false;
    const std::uint64_t tag = tags_.number(context[schema::kContextTag], [this](auto use) { mark_tags(use); });
    const std::uint64_t vm = vms_.number(context[schema::kContextVm], [this](auto use) { mark_vms(use); });
    if (tag == kNoOwner || vm == kNoOwner) return false;
    // A promised run has one tag and one vm.
    if (static_tlbs_ && tag_ != kNoOwner && (tag != tag_ || (kNested && vm != nested_.table.owner))) leave_static_way();
    tags_.vm_of(tag) = vm;
    tag_ = tag;
    table_.root = at(schema::kContextRoot);
    table_.owner = tag_;
    table_.zone = guest;
    if (observes_reuse_) reuse_.select(context[schema::kContextTag]);
    if (static_tlbs_) static_walk_.forget_tables();
    if constexpr (kNested) {
      nested_.table.root = at(schema::kContextNestedRoot);
      nested_.table.owner = vm;
      nested_.table.zone = nested;
    }
    return true;
  }

  std::uint64_t run_synthetic(std::uint64_t from, std::uint64_t count) override {
    if (generator_ == nullptr) return 0;
    if (generator_->has_runs() && !data_through_caches_) {
      return run(Runs{*this, from}, count,
                 [&](std::uint64_t done, std::uint64_t n) { return run_pages(from + done, n); });
    }
    return run(Drawn{*this, from}, count,
               [&](std::uint64_t done, std::uint64_t n) { return run_drawn(from + done, n); });
  }

  std::uint64_t run_recorded(const double* pages, const std::uint16_t* words, std::uint64_t count,
                             std::uint64_t index) override {
    const auto general = [&](std::uint64_t done, std::uint64_t n) {
      return run_accesses(pages + done, words + done, n, index + done);
    };
    // Fetches that have an L1 of their own take the general way.
    if (has_l1i_) {
      if (static_tlbs_) leave_static_way();
      return finish(general(0, count), count);
    }
    return run(Recorded{*this, pages, words, index}, count, general);
  }

  void invlpg(double tag, std::uint64_t page) override {
    state_.pwc.clear();
    const std::uint64_t owner = tags_.find(tag);
    if (owner == kNoOwner) return;
    drop_page(page, owner);
    table_.psc.drop_owner(owner);
    if (static_tlbs_ && owner == tag_) {
      static_l1_.drop(page >> size_shift(static_size_));
      static_stlb_.drop(page >> size_shift(static_size_));
      static_walk_.guest().clear();
    }
  }

  void flush_tag(double tag) override {
    state_.pwc.clear();
    const std::uint64_t owner = tags_.find(tag);
    if (owner == kNoOwner) return;
    l1d_.drop_tag(owner);
    l1i_.drop_tag(owner);
    stlb_.drop_tag(owner);
    table_.psc.drop_owner(owner);
    if (static_tlbs_ && owner == tag_) clear_static_tag();
  }

  void invept(double vm) override {
    state_.pwc.clear();
    if constexpr (kNested) {
      const std::uint64_t id = vms_.find(vm);
      if (id == kNoOwner) return;
      const auto is_of_vm = [&](std::uint64_t tag) { return tags_.vm_of(tag) == id; };
      l1d_.drop_tags(is_of_vm);
      l1i_.drop_tags(is_of_vm);
      stlb_.drop_tags(is_of_vm);
      table_.psc.drop_owners(is_of_vm);
      nested_.ntlb.drop_owner(id);
      nested_.table.psc.drop_owner(id);
      if (static_tlbs_ && id == nested_.table.owner) {
        clear_static_tag();
        static_walk_.clear();
      }
    }
  }

  void flush_all() override {
    l1d_.clear();
    l1i_.clear();
    stlb_.clear();
    table_.psc.clear();
    state_.pwc.clear();
    if constexpr (kNested) {
      nested_.ntlb.clear();
      nested_.table.psc.clear();
    }
    if (static_tlbs_) {
      clear_static_tag();
      static_walk_.clear();
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
  void plan_static() {
    if (data_through_caches_ || observes_reuse_) return;
    static_size_ = static_cast<std::uint32_t>(machine_[schema::kMachineStaticSize]);
    const auto bound = static_cast<std::uint64_t>(machine_[schema::kMachinePageBound]);
    static_tlbs_ = allocate_static_tlbs(bound);
    if (static_tlbs_ && kWalksPass) {
      allocate_static_walk(bound);
      static_walk_.set_leaves(static_cast<std::uint32_t>(machine_[schema::kMachineGuestLeaf]),
                              static_cast<std::uint32_t>(machine_[schema::kMachineNestedLeaf]));
    }
  }

  // The static way's arrays for entries of `static_size_`; false where there is one that is not lru.
  bool allocate_static_tlbs(std::uint64_t page_bound) {
    const TlbArray* const l1 = l1d_.of_size(static_size_);
    const TlbArray* const stlb = stlb_.of_size(static_size_);
    if ((l1 != nullptr && !l1->cache.lru()) || (stlb != nullptr && !stlb->cache.lru())) return false;
    allocate_static_tlb(static_l1_, machine_ + schema::kMachineL1d, schema::kMachineL1dCount, page_bound);
    allocate_static_tlb(static_stlb_, machine_ + schema::kMachineStlb, schema::kMachineStlbCount, page_bound);
    return true;
  }

  void allocate_static_tlb(PassArray& array, const double* shapes, std::size_t count, std::uint64_t page_bound) {
    array.retire();
    for (std::size_t i = 0; i < static_cast<std::size_t>(machine_[count]); i++) {
      const double* const shape = shapes + i * schema::kArraySlots;
      if ((static_cast<std::uint32_t>(shape[2]) >> static_size_ & 1) == 0) continue;
      array.allocate(static_cast<std::uint32_t>(shape[0]), static_cast<std::uint32_t>(shape[1]),
                     (page_bound >> size_shift(static_size_)) + 1, indexing_of(shape));
    }
  }

  void allocate_static_walk(std::uint64_t page_bound) {
    static_walk_.allocate(machine_, page_bound);
    if (static_walk_.scratch() != nullptr) return;
    own_scratch_.allocate(1);
    static_walk_.use(own_scratch_.data());
  }

  // Another address space is loaded, or fetches come: the general structures take over what the promised run's hold.
  void leave_static_way() {
    lull_.settle();
    lull_.retire();
    static_tlbs_ = false;
  }

  // What the static way's structures hold of the tag of a promised run.
  void clear_static_tag() {
    static_l1_.clear();
    static_stlb_.clear();
    static_walk_.guest().clear();
  }

  // Tell `use` each number of a tag, or of a vm, that is still in use.
  template <class Use>
  void mark_tags(Use use) const {
    l1d_.visit_owners(use);
    l1i_.visit_owners(use);
    stlb_.visit_owners(use);
    table_.psc.visit_owners(use);
    if (tag_ != kNoOwner) use(tag_);
  }
  template <class Use>
  void mark_vms(Use use) const {
    mark_tags([&](std::uint64_t tag) {
      if (tags_.vm_of(tag) != kNoOwner) use(tags_.vm_of(tag));
    });
    if constexpr (kNested) {
      nested_.ntlb.visit_owners(use);
      nested_.table.psc.visit_owners(use);
    }
  }

  bool place(TableZone& zone, std::uint64_t word) {
    if (word > words_ || zone.frames > (words_ - word) / schema::kEntriesPerTable) return false;
    zone.entries = memory_ + word;
    return true;
  }

  // --- the static way ---------------------------------------------------------------------------------------------

  // A batch of accesses: its look-ups are in `pages_`; `repeats` are further accesses to their pages, back to back,
  // which are hits at the most recent place.
  struct Batch {
    std::uint32_t lookups = 0;
    std::uint64_t repeats = 0;
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t fetches = 0;

    std::uint64_t accesses() const { return lookups + repeats; }
  };

  // Where accesses come from. Each tells the page of an access and the bound of all pages, whether it can write, and
  // gives the batch that begins at an access: always the same one.

  // A workload whose pages repeat back to back.
  struct Runs {
    Core& core;
    std::uint64_t from;

    bool writes() const { return false; }
    std::uint64_t page_bound(std::uint64_t, std::uint64_t) const { return core.generator_->page_bound(); }
    std::uint64_t page(std::uint64_t done) const {
      std::uint64_t page = 0;
      std::uint64_t length = 0;
      core.generator_->next_run(from + done, 1, page, length);
      return page;
    }
    Batch next(std::uint64_t done, std::uint64_t left) const {
      Batch batch;
      // Only an L1 that holds the page makes its repeats hits.
      if (!core.static_l1_.present()) return Drawn{core, from}.next(done, left);
      while (batch.lookups < core.batch_limit_ && batch.reads < left) {
        std::uint64_t length = 0;
        core.generator_->next_run(from + done + batch.reads, left - batch.reads, core.pages_[batch.lookups++], length);
        batch.reads += length;
      }
      batch.repeats = batch.reads - batch.lookups;
      return batch;
    }
  };

  // Any workload.
  struct Drawn {
    Core& core;
    std::uint64_t from;

    bool writes() const { return core.generator_->writes(); }
    std::uint64_t page_bound(std::uint64_t, std::uint64_t) const { return core.generator_->page_bound(); }
    std::uint64_t page(std::uint64_t done) const {
      core.generator_->template fill<Need::kPages>(from + done, 1, core.pages_, static_cast<std::uint16_t*>(nullptr));
      return core.pages_[0];
    }
    Batch next(std::uint64_t done, std::uint64_t left) const {
      Batch batch;
      batch.lookups = static_cast<std::uint32_t>(left < core.batch_limit_ ? left : core.batch_limit_);
      AccessGenerator& generator = *core.generator_;
      // Only a lull asks which accesses write.
      batch.writes =
          core.static_tlbs_ || !writes()
              ? generator.template fill<Need::kPages>(from + done, batch.lookups, core.pages_,
                                                      static_cast<std::uint16_t*>(nullptr))
              : generator.template fill<Need::kWords>(from + done, batch.lookups, core.pages_, core.words_of_batch_);
      batch.reads = batch.lookups - batch.writes;
      return batch;
    }
  };

  // A block of recorded accesses.
  struct Recorded {
    Core& core;
    const double* pages;
    const std::uint16_t* words;
    std::uint64_t from;

    bool writes() const { return true; }
    std::uint64_t page_bound(std::uint64_t done, std::uint64_t left) const {
      double most = 0;
      for (std::uint64_t i = done; i < done + left; i++) most = pages[i] > most ? pages[i] : most;
      return static_cast<std::uint64_t>(most) + 1;
    }
    std::uint64_t page(std::uint64_t done) const { return static_cast<std::uint64_t>(pages[done]); }
    Batch next(std::uint64_t done, std::uint64_t left) const {
      Batch batch;
      std::uint64_t kinds[4] = {};
      const auto size = static_cast<std::uint32_t>(left < core.batch_limit_ ? left : core.batch_limit_);
      const bool has_l1 = core.static_l1_.present();
      for (std::uint32_t i = 0; i < size; i++) {
        const std::uint64_t page = static_cast<std::uint64_t>(pages[done + i]);
        const std::uint16_t word = words[done + i];
        kinds[word >> schema::kKindShift & 3]++;
        const bool repeated = has_l1 && batch.lookups > 0 && core.pages_[batch.lookups - 1] == page;
        batch.lookups -= repeated;
        core.pages_[batch.lookups] = page;
        // A look-up writes if any of its repeats does.
        core.words_of_batch_[batch.lookups] =
            static_cast<std::uint16_t>(repeated ? core.words_of_batch_[batch.lookups] | (word & kWrite) : word);
        batch.lookups++;
      }
      batch.repeats = size - batch.lookups;
      batch.reads = kinds[0];
      batch.writes = kinds[1];
      batch.fetches = kinds[2];
      return batch;
    }
  };

  // Runs so many accesses of a source; `general` takes some of them the general way and tells how many completed.
  template <class Source, class General>
  std::uint64_t run(Source source, std::uint64_t count, General general) {
    if (static_tlbs_) return run_static(source, count);
    std::uint64_t done = 0;
    while (done < count) {
      const std::uint64_t left = count - done;
      const std::uint64_t& walks = state_.counters[schema::kCounterWalks];
      std::uint64_t walks_before = walks;
      if (may_lull() && lull_.worth(left) &&
          lull_.begin(source.page(done), source.page_bound(done, left), source.writes())) {
        const std::uint64_t lulled = run_lull(source, done, count) - done;
        lull_.end(lulled, walks - walks_before, lulled < left);
        done += lulled;
        if (done == count) break;
        walks_before = walks;
      }
      const std::uint64_t n = count - done < lull_.patience() ? count - done : lull_.patience();
      state_.changed = false;
      const std::uint64_t completed = general(done, n);
      lull_.took(completed, walks - walks_before, completed < n || state_.changed);
      done += completed;
      if (completed < n) return done;
    }
    return finish(count, count);
  }

  std::uint64_t finish(std::uint64_t completed, std::uint64_t count) {
    if (completed == count) status_ = Status::kDone;
    return completed;
  }

  // A run that is promised to be static.
  template <class Source>
  std::uint64_t run_static(Source source, std::uint64_t count) {
    std::uint64_t done = 0;
    while (done < count) {
      const Batch batch = source.next(done, count - done);
      if (!pass_static(batch, false)) {
        fault_index_ = source.from + done;
        return done;
      }
      done += batch.accesses();
    }
    return finish(count, count);
  }

  // Takes batches as long as they change nothing; returns where the first begins that would.
  template <class Source>
  std::uint64_t run_lull(Source source, std::uint64_t done, std::uint64_t count) {
    while (done < count) {
      const std::uint64_t saved_at = done;
      lull_.save();
      for (std::uint32_t i = 0; i < lull_.batches_a_save() && done < count; i++) {
        const Batch batch = source.next(done, count - done);
        if (!pass_static(batch, true)) {
          lull_.restore();
          // The batches between took place: the TLBs see them once more.
          for (std::uint64_t again = saved_at; again < done;) {
            const Batch seen = source.next(again, count - again);
            pass_tlbs(seen.lookups);
            again += seen.accesses();
          }
          return done;
        }
        done += batch.accesses();
      }
    }
    return done;
  }

  void count_kinds(const Batch& batch) {
    state_.counters[schema::kCounterAccesses] += batch.accesses();
    state_.counters[schema::kCounterReads] += batch.reads;
    state_.counters[schema::kCounterWrites] += batch.writes;
    state_.counters[schema::kCounterFetches] += batch.fetches;
  }

  // One batch through both TLB levels and the walker. False when a table breaks a run's promise, or when, `tried` in a
  // lull, an access might change something: then nothing is counted, and only the TLBs have changed.
  bool pass_static(const Batch& batch, bool tried) {
    const std::uint32_t n = batch.lookups;
    const std::uint64_t* missed = pages_;
    std::uint32_t l1_missed = n;
    if (static_l1_.present()) {
      l1_missed = pass_tlb(static_l1_, pages_, n);
      missed = missed_;
    }
    if (miss_sink_ != nullptr) {
      count_l1(batch, l1_missed);
      if (!miss_sink_->take(missed, l1_missed)) return broken_promise(Status::kNotStatic, missed[0]);
      count_kinds(batch);
      return true;
    }
    std::uint32_t stlb_missed = l1_missed;
    if (static_stlb_.present()) {
      stlb_missed = pass_tlb(static_stlb_, missed, l1_missed);
      missed = missed_;
    }
    ResolvedPage* resolved = nullptr;
    if (tried) {
      resolved = resolved_;
      if (!lull_.look(missed, stlb_missed, resolved) || lull_.forbids(pages_, words_of_batch_, n)) return false;
    }
    count_l1(batch, l1_missed);
    state_.counters[schema::kCounterStlbHits + static_size_] += l1_missed - stlb_missed;
    state_.counters[schema::kCounterStlbMisses] += stlb_missed;
    state_.counters[schema::kCounterWalks] += stlb_missed;
    if (!walk_all(missed, resolved, stlb_missed)) return false;
    count_kinds(batch);
    return true;
  }

  void pass_tlbs(std::uint32_t n) {
    if (static_l1_.present()) n = pass_tlb(static_l1_, pages_, n);
    if (static_stlb_.present()) pass_tlb(static_stlb_, static_l1_.present() ? missed_ : pages_, n);
  }

  void count_l1(const Batch& batch, std::uint32_t missed) {
    state_.counters[schema::kCounterL1Hits + static_size_] += batch.lookups - missed + batch.repeats;
    state_.counters[schema::kCounterL1Misses] += missed;
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

  // A promised run met a table that is corrupt or may change: none of the batch counts as completed.
  bool broken_promise(Status status, std::uint64_t page) {
    status_ = status == Status::kCorruptTable ? status : Status::kNotStatic;
    fault_page_ = page;
    fault_word_ = 0;
    return false;
  }

  bool may_lull() const { return !data_through_caches_ && !observes_reuse_; }

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

  // Accesses of the workload, drawn a batch at a time.
  std::uint64_t run_drawn(std::uint64_t from, std::uint64_t count) {
    for (std::uint64_t done = 0; done < count; done += kCoreBatch) {
      const auto batch = static_cast<std::uint32_t>(count - done < kCoreBatch ? count - done : kCoreBatch);
      generator_->template fill<Need::kWords>(from + done, batch, pages_, words_of_batch_);
      const std::uint64_t completed = run_accesses(pages_, words_of_batch_, batch, from + done);
      if (completed < batch) return done + completed;
    }
    return count;
  }

  // Accesses one after the other: those that hit in L1 and need nothing else in a loop of their own.
  template <class Page>
  std::uint64_t run_accesses(const Page* pages, const std::uint16_t* words, std::uint64_t n, std::uint64_t index) {
    std::uint64_t done = 0;
    for (;;) {
      done += take_hits(pages + done, words + done, n - done);
      if (done == n) return n;
      if (!complete(static_cast<std::uint64_t>(pages[done]), words[done], index + done)) return done;
      done++;
    }
  }

  // Takes accesses, as `access` would, for as long as they hit in a TLB and need nothing else; returns how many.
  template <class Page>
  std::uint64_t take_hits(const Page* pages, const std::uint16_t* words, std::uint64_t n) {
    const TlbSide::Look* const l1 = l1d_.only_look();
    const TlbSide::Look* const stlb = stlb_.only_look();
    // Of one size both, or the STLB's hits would not be filled into the L1 array.
    if (l1 == nullptr || data_through_caches_ || observes_reuse_) return 0;
    std::uint64_t taken = 0;
    l1->array->cache.with_narrow([&](auto& l1_cache) {
      const bool both = stlb != nullptr && stlb->size == l1->size && stlb->array->cache.with_narrow([&](auto& cache) {
        taken = take_hits_of(*l1, l1_cache, *stlb, &cache, pages, words, n);
      });
      if (!both) taken = take_hits_of(*l1, l1_cache, *l1, static_cast<NarrowLru<4>*>(nullptr), pages, words, n);
    });
    return taken;
  }

  template <class L1Cache, class StlbCache, class Page>
  [[gnu::noinline]] std::uint64_t take_hits_of(const TlbSide::Look& l1, L1Cache& l1_cache, const TlbSide::Look& stlb,
                                               StlbCache* stlb_cache, const Page* pages, const std::uint16_t* words,
                                               std::uint64_t n) {
    constexpr auto kWriteKind = static_cast<std::uint32_t>(schema::AccessKind::kWrite);
    constexpr auto kFetchKind = static_cast<std::uint32_t>(schema::AccessKind::kFetch);
    const unsigned shift = size_shift(l1.size);
    const std::uint64_t tag_and_size = key_of(0, l1.size, tag_);
    TlbPayload* const l1_payloads = l1.array->payloads.data();
    const TlbPayload* const stlb_payloads = stlb.array->payloads.data();
    const SetIndex l1_index = l1.array->cache.index();
    const SetIndex stlb_index = stlb.array->cache.index();
    const bool fetches_apart = has_l1i_;
    std::uint64_t taken = 0;
    std::uint64_t writes = 0;
    std::uint64_t fetches = 0;
    std::uint64_t stlb_hits = 0;
    for (; taken < n; taken++) {
      const std::uint32_t kind = words[taken] >> schema::kKindShift;
      if (kind == kFetchKind && fetches_apart) break;
      const std::uint64_t number = static_cast<std::uint64_t>(pages[taken]) >> shift;
      const std::uint64_t key = number << 2 | tag_and_size;
      const std::uint32_t set = l1_index(number);
      const std::int32_t slot = l1_cache.find(set, key);
      if (slot >= 0) {
        if (kind == kWriteKind && l1_payloads[slot].flags != (kWritable | kDirty)) break;
        l1_cache.promote(slot);
      } else {
        if (stlb_cache == nullptr) break;
        const std::int32_t found = stlb_cache->find(stlb_index(number), key);
        if (found < 0 || (kind == kWriteKind && stlb_payloads[found].flags != (kWritable | kDirty))) break;
        stlb_cache->promote(found);
        l1_payloads[l1_cache.fill(set, key)] = stlb_payloads[found];
        stlb_hits++;
      }
      writes += kind == kWriteKind;
      fetches += kind == kFetchKind;
    }
    state_.counters[schema::kCounterAccesses] += taken;
    state_.counters[schema::kCounterReads] += taken - writes - fetches;
    state_.counters[schema::kCounterWrites] += writes;
    state_.counters[schema::kCounterFetches] += fetches;
    state_.counters[schema::kCounterL1Hits + l1.size] += taken - stlb_hits;
    state_.counters[schema::kCounterL1Misses] += stlb_hits;
    state_.counters[schema::kCounterStlbHits + l1.size] += stlb_hits;
    return taken;
  }

  // Two accesses of each run of one page go through the core; the rest are hits like the second (src/hardware/core.ts).
  std::uint64_t run_pages(std::uint64_t from, std::uint64_t count) {
    std::uint64_t done = 0;
    while (done < count) {
      std::uint64_t page = 0;
      std::uint64_t length = 0;
      generator_->next_run(from + done, count - done, page, length);
      for (std::uint64_t i = 0; i < 2 && i < length; i++) {
        if (!complete(page, 0, from + done)) return done;
        done++;
      }
      if (length > 2) done += repeat(page, from + done, length - 2);
    }
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
    if (observes_reuse_) reuse_.record(page);
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

  // Offset of a page, in 4 KiB frames, from the start of its page of a size.
  static std::uint64_t offset_frames(std::uint64_t page, std::uint32_t size) {
    return page & ((std::uint64_t{1} << size_shift(size)) - 1);
  }

  template <class, bool, bool>
  friend class StateFormat;
  template <class, class, bool, std::uint32_t>
  friend class Lull;

  double machine_[schema::kMachineSlots];
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
  std::uint64_t tag_ = kNoOwner;
  bool has_l1i_ = false;
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
  // Look-ups of a batch of the static way.
  std::uint32_t batch_limit_ = kCoreBatch;
  AccessGenerator* generator_ = nullptr;
  GeneratorScratch generator_scratch_;
  Lull<Core, Cache, kNested, kCoreBatch> lull_{*this, table_, nested_.table};
  ResolvedPage resolved_[kNested ? kCoreBatch : 1];
  alignas(64) std::uint64_t pages_[kCoreBatch];
  alignas(64) std::uint64_t missed_[kCoreBatch];
  alignas(64) std::uint16_t words_of_batch_[kCoreBatch];
};

}  // namespace nestwalk::NESTWALK_TIER

#include "state.h"
