// One pass for many STLBs. Over one stream, an lru set of W ways holds the W most recent of the numbers that map to it
// (Mattson et al., 1970), so one stack of the deepest W for each number of sets tells hits and misses of every cell: a
// number found at depth d hits in each cell of more than d ways. That asks nothing of how a number picks its set, so
// hashed STLBs are no exception. Each cell's misses go on to a walker of its own, which sees them in order; a batch is
// collected first, because many cells miss seldom. Cells share one walker as long as they have missed the same pages,
// and what walks read of the guest's tables is read once for all of them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <new>

#include "../machine.h"
#include "../schema.h"
#include "buffer.h"
#include "lruSets.h"
#include "setIndex.h"
#include "tlb.h"

namespace nestwalk::NESTWALK_TIER {

// Deepest stack: cells with more ways are run by themselves.
inline constexpr std::uint32_t kStackMostWays = 32;
// Pages looked up at a time, and misses of a cell that are worth walking for at once.
inline constexpr std::uint32_t kStackBatch = 512;

// The stacks of one number of sets.
template <class Key>
class StackSets {
 public:
  void allocate(std::uint32_t sets, std::uint32_t ways, schema::Indexing indexing) {
    index_ = SetIndex(sets, indexing);
    deep_ = ways > 16;
    if (deep_) {
      deep_sets_.allocate(sets, ways);
    } else {
      sets_.allocate(sets, ways);
    }
  }

  // The depth of each of n numbers (each shifted right first), in order; at least 16 or 32 when it is not there.
  void depths(const std::uint64_t* pages, std::uint32_t n, unsigned shift, std::uint8_t* out) {
    if (deep_) {
      depths_of(deep_sets_, pages, n, shift, out);
    } else {
      depths_of(sets_, pages, n, shift, out);
    }
  }

 private:
  template <class Sets>
  void depths_of(Sets& sets, const std::uint64_t* pages, std::uint32_t n, unsigned shift, std::uint8_t* out) {
    const auto handle = sets.handle();
    const SetIndex index = index_;
    for (std::uint32_t i = 0; i < n; i++) {
      const std::uint64_t number = pages[i] >> shift;
      out[i] = static_cast<std::uint8_t>(handle.depth(index(number), static_cast<Key>(number)));
    }
  }

  SetIndex index_;
  bool deep_ = false;
  OrderedSets<Key, 16> sets_;
  OrderedSets<Key, 32> deep_sets_;
};

// Which of the pages of a batch a cell missed.
struct MissedPages {
  static constexpr std::uint32_t kWords = kStackBatch / 64;
  std::uint64_t words[kWords];

  bool operator==(const MissedPages& other) const { return std::memcmp(words, other.words, sizeof words) == 0; }

  // Takes the depths of n pages: those at `ways` or deeper are missed. Without ways every page is.
  void set(const std::uint8_t* depths, std::uint32_t n, std::uint32_t ways) {
    for (std::uint32_t w = 0; w < kWords; w++) {
      const std::uint32_t first = 64 * w;
      const std::uint64_t taken = first >= n        ? 0
                                  : n - first >= 64 ? ~std::uint64_t{0}
                                                    : (std::uint64_t{1} << (n - first)) - 1;
      words[w] = taken & (ways == 0 ? ~std::uint64_t{0} : at_least(depths + first, ways));
    }
  }

  std::uint32_t count() const {
    std::uint32_t total = 0;
    for (const std::uint64_t word : words) total += static_cast<std::uint32_t>(std::popcount(word));
    return total;
  }

  // Calls `take` with the number of each missed page, in order.
  template <class Take>
  void each(Take take) const {
    for (std::uint32_t w = 0; w < kWords; w++) {
      for (std::uint64_t word = words[w]; word != 0; word &= word - 1) {
        take(64 * w + static_cast<std::uint32_t>(std::countr_zero(word)));
      }
    }
  }

 private:
  // Which of 64 depths are at least a limit.
  static std::uint64_t at_least(const std::uint8_t* depths, std::uint32_t limit) {
#if defined(__AVX512BW__)
    return _mm512_cmpge_epu8_mask(_mm512_load_si512(depths), _mm512_set1_epi8(static_cast<char>(limit)));
#elif defined(__AVX2__)
    const __m256i limits = _mm256_set1_epi8(static_cast<char>(limit));
    std::uint64_t bits = 0;
    for (std::uint32_t i = 0; i < 64; i += 32) {
      const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(depths + i));
      const auto mask =
          static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v, limits), v)));
      bits |= std::uint64_t{mask} << i;
    }
    return bits;
#else
    std::uint64_t bits = 0;
    for (std::uint32_t i = 0; i < 64; i++) bits |= std::uint64_t{depths[i] >= limit} << i;
    return bits;
#endif
  }
};

template <class Key>
class StackOf final : public Stack {
 public:
  // `machine` tells the size of pages and the indexing of its one STLB array; null `cells[i].walker` for TLB counters
  // alone.
  StackOf(const double* machine, const StackCell* cells, std::size_t count)
      : shift_(size_shift(static_cast<std::uint32_t>(machine[schema::kMachineStaticSize]))), cell_count_(count) {
    cells_ = new (std::nothrow) Cell[count];
    groups_ = new (std::nothrow) Group[count];
    classes_ = new (std::nothrow) Class[count];
    if (cells_ == nullptr || groups_ == nullptr || classes_ == nullptr) {
      allocation_failed = true;
      return;
    }
    for (std::size_t i = 0; i < count; i++) {
      cells_[i].walker = cells[i].walker;
      cells_[i].ways = cells[i].ways;
      // Cells without an entry stand for machines whose STLB does not take pages of this size.
      cells_[i].group = group_of(cells[i].ways == 0 ? 0 : cells[i].entries / cells[i].ways, cells[i].ways);
    }
    for (std::size_t g = 0; g < group_count_; g++) {
      if (groups_[g].sets == 0) continue;
      groups_[g].stacks.allocate(groups_[g].sets, groups_[g].ways, indexing_of(machine + schema::kMachineStlb));
    }
    if (count == 0 || cells[0].walker == nullptr) return;
    needs_pages_ = cells[0].walker->walks_need_pages();
    needs_resolved_ = cells[0].walker->walks_need_resolved();
    if (!needs_pages_) return;
    // All cells are one class until their misses differ.
    for (std::size_t i = 0; i < count; i++) cells_[i].next = i + 1 < count ? i + 1 : kNoCell;
    open_class(0);
  }

  ~StackOf() override {
    delete[] cells_;
    delete[] groups_;
    delete[] classes_;
  }

  bool take(const std::uint64_t* pages, std::uint32_t count) override {
    for (std::uint32_t done = 0; done < count; done += kStackBatch) {
      if (!take_batch(pages + done, count - done < kStackBatch ? count - done : kStackBatch)) return false;
    }
    return true;
  }

  bool finish() override {
    for (std::size_t c = 0; c < class_count_; c++) {
      Class& shared = classes_[c];
      if (!walk(shared)) return false;
      for (std::size_t i = cells_[shared.first].next; i != kNoCell; i = cells_[i].next) {
        cells_[i].walker->copy_counters(*shared.walker);
      }
    }
    if (needs_pages_ || cell_count_ == 0 || cells_[0].walker == nullptr) return true;
    for (std::size_t i = 0; i < cell_count_; i++) {
      cells_[i].walker->count_walks(cells_[i].misses - cells_[i].walked);
      cells_[i].walked = cells_[i].misses;
    }
    return true;
  }

  std::uint64_t misses(std::size_t cell) const override { return cells_[cell].misses; }

 private:
  static constexpr std::size_t kNoCell = ~std::size_t{0};

  struct Cell {
    Machine* walker = nullptr;
    std::uint32_t ways = 0;
    std::size_t group = 0;
    std::size_t next = kNoCell;  // Of the same class.
    std::uint64_t misses = 0;
    std::uint64_t walked = 0;
    MissedPages missed;
  };

  struct Group {
    std::uint32_t sets = 0;
    std::uint32_t ways = 0;
    StackSets<Key> stacks;
    alignas(64) std::uint8_t depths[kStackBatch];
  };

  // Cells that have missed the same pages so far: one walker serves them all.
  struct Class {
    std::size_t first = kNoCell;
    Machine* walker = nullptr;
    std::uint32_t waiting = 0;
    Buffer<std::uint64_t> pages;
    Buffer<ResolvedPage> resolved;
  };

  // The group with so many sets; its stacks are as deep as its cell with the most ways.
  std::size_t group_of(std::uint32_t sets, std::uint32_t ways) {
    std::size_t g = 0;
    while (g < group_count_ && groups_[g].sets != sets) g++;
    if (g == group_count_) groups_[group_count_++].sets = sets;
    if (groups_[g].ways < ways) groups_[g].ways = ways;
    return g;
  }

  Class& open_class(std::size_t first) {
    Class& opened = classes_[class_count_++];
    opened.first = first;
    opened.walker = cells_[first].walker;
    opened.pages.allocate(2 * kStackBatch);
    if (needs_resolved_) opened.resolved.allocate(2 * kStackBatch);
    return opened;
  }

  bool take_batch(const std::uint64_t* pages, std::uint32_t n) {
    for (std::size_t g = 0; g < group_count_; g++) {
      if (groups_[g].sets != 0) groups_[g].stacks.depths(pages, n, shift_, groups_[g].depths);
    }
    for (std::size_t i = 0; i < cell_count_; i++) {
      cells_[i].missed.set(groups_[cells_[i].group].depths, n, cells_[i].ways);
      cells_[i].misses += cells_[i].missed.count();
    }
    if (class_count_ == 0) return true;
    if (needs_resolved_ && !cells_[0].walker->resolve_pages(pages, n, resolved_)) return false;
    // Classes opened on the way hold cells that were just told apart: they are looked at too.
    for (std::size_t c = 0; c < class_count_; c++) {
      if (!split(c) || !collect(classes_[c], pages)) return false;
    }
    return true;
  }

  // Leaves in a class the cells that missed the same of this batch as its first; the others become a class of their
  // own.
  bool split(std::size_t c) {
    const MissedPages& missed = cells_[classes_[c].first].missed;
    std::size_t* link = &cells_[classes_[c].first].next;
    Class* opened = nullptr;
    std::size_t last = kNoCell;
    while (*link != kNoCell) {
      const std::size_t i = *link;
      if (cells_[i].missed == missed) {
        link = &cells_[i].next;
        continue;
      }
      *link = cells_[i].next;
      cells_[i].next = kNoCell;
      if (opened == nullptr) {
        if (!walk(classes_[c])) return false;
        opened = &open_class(i);
        if (allocation_failed || !opened->walker->copy_walker(*classes_[c].walker)) return false;
      } else {
        cells_[last].next = i;
      }
      last = i;
    }
    return true;
  }

  // Adds what a class missed of this batch to what waits; walks for it when that is worth a batch.
  bool collect(Class& shared, const std::uint64_t* pages) {
    std::uint64_t* out = shared.pages.data();
    std::uint32_t waiting = shared.waiting;
    if (needs_resolved_) {
      ResolvedPage* resolved = shared.resolved.data();
      cells_[shared.first].missed.each([&](std::uint32_t i) {
        out[waiting] = pages[i];
        resolved[waiting++] = resolved_[i];
      });
    } else {
      cells_[shared.first].missed.each([&](std::uint32_t i) { out[waiting++] = pages[i]; });
    }
    shared.waiting = waiting;
    return waiting < kStackBatch || walk(shared);
  }

  bool walk(Class& shared) {
    const std::uint32_t count = shared.waiting;
    shared.waiting = 0;
    return count == 0 ||
           shared.walker->walk_pages(shared.pages.data(), needs_resolved_ ? shared.resolved.data() : nullptr, count);
  }

  unsigned shift_;
  std::size_t cell_count_;
  std::size_t group_count_ = 0;
  std::size_t class_count_ = 0;
  bool needs_pages_ = false;
  bool needs_resolved_ = false;
  Cell* cells_ = nullptr;
  Group* groups_ = nullptr;
  Class* classes_ = nullptr;
  ResolvedPage resolved_[kStackBatch];
};

// Null when memory ran out.
inline Stack* make_stack(const double* machine, const StackCell* cells, std::size_t count) {
  allocation_failed = false;
  const auto bound = static_cast<std::uint64_t>(machine[schema::kMachinePageBound]);
  const unsigned shift = size_shift(static_cast<std::uint32_t>(machine[schema::kMachineStaticSize]));
  Stack* made = nullptr;
  if ((bound >> shift) < ~std::uint32_t{0}) {
    made = new (std::nothrow) StackOf<std::uint32_t>(machine, cells, count);
  } else {
    made = new (std::nothrow) StackOf<std::uint64_t>(machine, cells, count);
  }
  if (made != nullptr && allocation_failed) {
    delete made;
    return nullptr;
  }
  return made;
}

}  // namespace nestwalk::NESTWALK_TIER
