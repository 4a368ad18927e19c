// The access generator: a pure function from (workload, seed, index) to an access. Semantics: src/hardware/access.ts.
// Batches: composites sort the indices by child, leaves draw over lanes, pages are gathered last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "../schema.h"
#include "buffer.h"
#include "philox.h"

namespace nestwalk::NESTWALK_TIER {

// Slots of a component record, as COMPONENT of the twin has them. From kSlotStep on each pattern has its own.
inline constexpr std::size_t kSlotPattern = 0;
inline constexpr std::size_t kSlotBasePage = 1;
inline constexpr std::size_t kSlotPages = 2;
inline constexpr std::size_t kSlotWriteThreshold = 3;
inline constexpr std::size_t kSlotFirstChild = 4;
inline constexpr std::size_t kSlotChildren = 5;
inline constexpr std::size_t kSlotFirstLimit = 6;
inline constexpr std::size_t kSlotLimits = 7;
inline constexpr std::size_t kSlotStep = 8;
inline constexpr std::size_t kSlotModulus = 9;
inline constexpr std::size_t kSlotRepeat = 10;
inline constexpr std::size_t kSlotRepeatsPages = 11;
inline constexpr std::size_t kSlotWindowPages = 11;
inline constexpr std::size_t kSlotEvery = 12;
inline constexpr std::size_t kSlotTable = 8;
inline constexpr std::size_t kSlotClustered = 9;
inline constexpr std::size_t kSlotHotPages = 8;
inline constexpr std::size_t kSlotHotThreshold = 9;
inline constexpr std::size_t kSlotLevels = 8;
inline constexpr std::size_t kSlotLeaves = 9;
inline constexpr std::size_t kSlotLength = 8;
inline constexpr std::size_t kSlotPeriod = 8;

// Accesses generated at once: what bounds the scratch space. Scratch that blocks read or write has kRoom numbers.
inline constexpr std::uint32_t kBatch = 512;
inline constexpr std::uint32_t kRoom = kBatch + lanes::kBlock;
// Most components on a path from the whole workload to a leaf.
inline constexpr std::uint32_t kMaxWorkloadDepth = 16;
// Shift and mask that turn the fourth word of a draw into the offset 8 * (word >> 23).
inline constexpr int kOffsetShift = 20;
inline constexpr std::uint64_t kOffsetMask = 0xff8;
inline constexpr std::uint16_t kWrite = 1 << schema::kKindShift;
// Most children whose shares are packed over lanes.
inline constexpr std::uint32_t kPackedChildren = 8;
// Pages whose Zipf table is too large for the nearer caches, so that its lines are fetched ahead.
inline constexpr std::uint64_t kPrefetchPages = 1 << 14;

// What a caller of `fill` wants: pages and how many accesses write, or pages and words.
enum class Need { kPages, kWords };
// What becomes of the kinds inside: not drawn, counted, or counted and written with the offsets.
enum class Kinds { kNone, kCounted, kWritten };

__extension__ using Wide = unsigned __int128;

// i * step mod modulus, exact.
inline std::uint64_t multiply_modulo(std::uint64_t i, std::uint64_t step, std::uint64_t modulus) {
  std::uint64_t product;
  if (!__builtin_mul_overflow(i, step, &product)) return product % modulus;
  return static_cast<std::uint64_t>(Wide{i} * step % modulus);
}

// Quotient and remainder of an index, cheap when it is at most one divisor ahead of the one before.
class Divider {
 public:
  explicit Divider(std::uint64_t divisor) : remainder(divisor - 1), divisor_(divisor) {}

  NESTWALK_INLINE void seek(std::uint64_t index) {
    const std::uint64_t ahead = index - index_;
    if (ahead <= divisor_) {
      const std::uint64_t sum = remainder + ahead;
      const bool wraps = sum >= divisor_;
      remainder = wraps ? sum - divisor_ : sum;
      quotient += wraps;
    } else {
      quotient = index / divisor_;
      remainder = index % divisor_;
    }
    index_ = index;
  }

  std::uint64_t quotient = ~std::uint64_t{0};
  std::uint64_t remainder;

 private:
  std::uint64_t divisor_;
  // The one before index 0, to begin with.
  std::uint64_t index_ = ~std::uint64_t{0};
};

// index * step mod modulus, exact, cheap when the steps from the index before are together less than the modulus.
class Progression {
 public:
  Progression(std::uint64_t step, std::uint64_t modulus, std::uint64_t repeat)
      : value(modulus - step),
        step_(step),
        modulus_(modulus),
        repeat_(repeat),
        reach_(step == 0 ? ~std::uint64_t{0} : (modulus - 1) / step) {}

  NESTWALK_INLINE void seek(std::uint64_t index) {
    const std::uint64_t ahead = index - index_;
    if (ahead <= reach_) {
      const std::uint64_t sum = value + ahead * step_;
      value = sum >= modulus_ ? sum - modulus_ : sum;
    } else {
      value = multiply_modulo(index % repeat_, step_, modulus_);
    }
    index_ = index;
  }

  std::uint64_t value;

 private:
  std::uint64_t step_;
  std::uint64_t modulus_;
  std::uint64_t repeat_;
  // Most steps that are together less than the modulus.
  std::uint64_t reach_;
  // The one before index 0, to begin with.
  std::uint64_t index_ = ~std::uint64_t{0};
};

// One component, decoded from its record.
struct Component {
  schema::Pattern pattern = schema::Pattern::kUniform;
  std::uint32_t stream = 0;
  std::uint64_t base_page = 0;
  std::uint64_t pages = 0;
  std::uint64_t write_threshold = 0;
  const std::uint64_t* children = nullptr;
  std::uint32_t child_count = 0;
  // Where each child's share of a batch ends, once it is routed.
  std::uint32_t* ends = nullptr;
  const std::uint64_t* limits = nullptr;
  std::uint32_t limit_count = 0;
  // Whether this component or one below it can write.
  bool writes = false;
  // Of chase and scattered zipf.
  Permutation permutation;
  const std::uint64_t* record = nullptr;

  std::uint64_t parameter(std::size_t slot) const { return record[slot]; }
  Progression progression() const {
    return Progression(parameter(kSlotStep), parameter(kSlotModulus), parameter(kSlotRepeat));
  }
};

// Scratch of one depth: for each access the index that the component sees, the index that its kind and offset come
// from, where it belongs one depth up, and the access itself. A share may be followed by the next one: whoever fills
// it writes whole blocks, so shares are filled in ascending order.
struct Level {
  Buffer<std::uint64_t> indices;
  Buffer<std::uint64_t> kinds;
  Buffer<std::uint64_t> positions;
  Buffer<std::uint64_t> pages;
  Buffer<std::uint16_t> words;

  void allocate() {
    indices.allocate(kRoom);
    kinds.allocate(kRoom);
    positions.allocate(kRoom);
    pages.allocate(kRoom);
    words.allocate(kRoom);
  }
};

// What generators work with; nothing in it outlives a batch, so that all workloads of a machine share one.
struct GeneratorScratch {
  Level levels[kMaxWorkloadDepth];
  // Child of each access of a batch, and the index which that child sees.
  Buffer<std::uint64_t> choices;
  Buffer<std::uint64_t> child_indices;
  // Under a burst: each index once, its page, and where each access finds it.
  Buffer<std::uint64_t> distinct;
  Buffer<std::uint64_t> distinct_pages;
  Buffer<std::uint32_t> places;
  // zipf: table slot and second word; window: where it stands.
  Buffer<std::uint64_t> slots;
  Buffer<std::uint64_t> seconds;
  // btree: lookups, then the leaves they look for; lookup and level of each access.
  Buffer<std::uint64_t> keys;
  Buffer<std::uint32_t> lookup_places;
  Buffer<std::uint32_t> lookup_levels;
  // Values that walk on in a permutation.
  Buffer<std::uint32_t> pending;

  // Makes room for workloads that are so many components deep; false when there is no memory for it.
  bool allocate(std::uint32_t depth) {
    for (std::uint32_t i = 0; i < depth; i++) {
      if (levels[i].words.size() == 0) levels[i].allocate();
      if (levels[i].words.size() == 0) return false;
    }
    for (Buffer<std::uint64_t>* numbers :
         {&choices, &child_indices, &distinct, &distinct_pages, &slots, &seconds, &keys}) {
      if (numbers->size() == 0) numbers->allocate(kRoom);
      if (numbers->size() == 0) return false;
    }
    for (Buffer<std::uint32_t>* numbers : {&places, &lookup_places, &lookup_levels, &pending}) {
      if (numbers->size() == 0) numbers->allocate(kBatch);
      if (numbers->size() == 0) return false;
    }
    return true;
  }
};

class AccessGenerator {
 public:
  AccessGenerator() = default;
  AccessGenerator(const AccessGenerator&) = delete;
  AccessGenerator& operator=(const AccessGenerator&) = delete;
  ~AccessGenerator() { delete[] components_; }

  // Takes a workload block: records, links and interleaved Zipf tables, which must outlive the generator (the other
  // arrays need not). False when there is no memory for it or it is nested too deeply.
  bool init(const double* components, std::uint32_t component_count, const double* links, std::size_t link_count,
            const std::uint32_t* const* tables, std::size_t table_count, std::uint32_t seed_low,
            std::uint32_t seed_high) {
    seed_low_ = seed_low;
    seed_high_ = seed_high;
    if (!allocate(component_count, link_count, table_count)) return false;
    for (std::size_t k = 0; k < link_count; k++) links_[k] = static_cast<std::uint64_t>(links[k]);
    for (std::size_t k = 0; k < table_count; k++) tables_[k] = tables[k];
    for (std::size_t k = 0; k < component_count * schema::kComponentSlots; k++) {
      records_[k] = static_cast<std::uint64_t>(components[k]);
    }
    for (std::uint32_t stream = 0; stream < component_count; stream++) decode(stream);
    // Parents come before their parts: backwards, what is below is known already.
    std::uint32_t deepest = 0;
    Buffer<std::uint32_t> depths(component_count);
    if (depths.size() == 0) return false;
    for (std::uint32_t stream = component_count; stream-- > 0;) {
      Component& c = components_[stream];
      c.writes = c.child_count == 0 && c.write_threshold > 0;
      for (std::uint32_t child = 0; child < c.child_count; child++) {
        c.writes |= components_[c.children[child]].writes;
        if (depths[stream] <= depths[c.children[child]]) depths[stream] = depths[c.children[child]] + 1;
      }
      if (deepest < depths[stream]) deepest = depths[stream];
    }
    if (deepest >= kMaxWorkloadDepth) return false;
    depth_ = deepest + 1;
    return true;
  }

  // Takes scratch space to work with, which must live as long as it is used; false when there is no memory for it.
  bool use(GeneratorScratch* scratch) {
    scratch_ = scratch;
    return scratch->allocate(depth_);
  }

  // Whether next_run answers: the workload is one stride shorter than a page, and never writes.
  bool has_runs() const {
    const Component& root = components_[0];
    return root.pattern == schema::Pattern::kStride && root.parameter(kSlotRepeatsPages) == 1;
  }

  // Whether any access can write.
  bool writes() const { return components_[0].writes; }

  // Absolute pages stay below it.
  std::uint64_t page_bound() const { return page_bound_; }

  // The accesses from `from` to from + count - 1: absolute pages (GVA >> 12) and, if needed, words (offset | kind <<
  // 12). Returns how many of them write. PageT: uint32_t or uint64_t; `words` may be null when only pages are needed.
  template <Need kNeed, class PageT>
  std::uint64_t fill(std::uint64_t from, std::uint32_t count, PageT* pages, std::uint16_t* words) {
    constexpr Kinds kKinds = kNeed == Need::kWords ? Kinds::kWritten : Kinds::kCounted;
    Level& level = scratch_->levels[0];
    std::uint64_t writes = 0;
    for (std::uint32_t done = 0; done < count; done += kBatch) {
      const std::uint32_t size = count - done < kBatch ? count - done : kBatch;
      for (std::uint32_t k = 0; k < size; k += lanes::kLanes) {
        lanes::store(&level.indices[k], lanes::splat(from + done + k) + lanes::ascending());
      }
      writes += component<kKinds>(components_[0], 0, 0, size, false);
      copy_pages(level.pages.data(), size, pages + done);
      if constexpr (kNeed == Need::kWords) std::memcpy(words + done, level.words.data(), size * sizeof *words);
    }
    return writes;
  }

  // How many accesses from `from` on, at most `limit`, stay on one page, and which; false when the workload has no
  // runs.
  template <class PageT>
  bool next_run(std::uint64_t from, std::uint64_t limit, PageT& page, std::uint64_t& length) const {
    if (!has_runs()) return false;
    const Component& root = components_[0];
    const std::uint64_t step = root.parameter(kSlotStep);
    const std::uint64_t address =
        multiply_modulo(from % root.parameter(kSlotRepeat), step, root.parameter(kSlotModulus));
    page = static_cast<PageT>(root.base_page + (address >> 12));
    const std::uint64_t left = root.pages == 1 ? limit : (4095 - (address & 4095)) / step + 1;
    length = left < limit ? left : limit;
    return true;
  }

 private:
  bool allocate(std::uint32_t component_count, std::size_t link_count, std::size_t table_count) {
    delete[] components_;
    components_ = new (std::nothrow) Component[component_count];
    records_.allocate(component_count * schema::kComponentSlots);
    links_.allocate(link_count + 1);
    ends_.allocate(link_count + 1);
    tables_.allocate(table_count + 1);
    return components_ != nullptr && records_.size() != 0 && links_.size() != 0 && ends_.size() != 0 &&
           tables_.size() != 0;
  }

  void decode(std::uint32_t stream) {
    Component& c = components_[stream];
    c.record = records_.data() + stream * schema::kComponentSlots;
    c.pattern = static_cast<schema::Pattern>(c.parameter(kSlotPattern));
    c.stream = stream;
    c.base_page = c.parameter(kSlotBasePage);
    c.pages = c.parameter(kSlotPages);
    if (page_bound_ < c.base_page + c.pages) page_bound_ = c.base_page + c.pages;
    c.write_threshold = c.parameter(kSlotWriteThreshold);
    c.children = links_.data() + c.parameter(kSlotFirstChild);
    c.child_count = static_cast<std::uint32_t>(c.parameter(kSlotChildren));
    c.ends = ends_.data() + c.parameter(kSlotFirstChild);
    c.limits = links_.data() + c.parameter(kSlotFirstLimit);
    c.limit_count = static_cast<std::uint32_t>(c.parameter(kSlotLimits));
    const bool scattered = c.pattern == schema::Pattern::kZipf && c.parameter(kSlotClustered) == 0;
    if (scattered || c.pattern == schema::Pattern::kChase) {
      const auto purpose = scattered ? schema::Purpose::kRankPermutation : schema::Purpose::kChase;
      c.permutation.allocate(c.pages, static_cast<std::uint32_t>(purpose), stream, seed_low_, seed_high_);
    }
  }

  static void copy_pages(const std::uint64_t* from, std::uint32_t count, std::uint64_t* to) {
    std::memcpy(to, from, count * sizeof *to);
  }

  static void copy_pages(const std::uint64_t* from, std::uint32_t count, std::uint32_t* to) {
    std::uint32_t k = 0;
    for (; k + lanes::kLanes <= count; k += lanes::kLanes) store_narrow(to + k, lanes::load(from + k));
    for (; k < count; k++) to[k] = static_cast<std::uint32_t>(from[k]);
  }

  // The accesses of one component at indices[start] and on of its level; returns how many write. Under a burst, kinds
  // and offsets have indices of their own, those that the outermost burst sees.
  template <Kinds kKinds>
  std::uint64_t component(Component& c, std::uint32_t depth, std::uint32_t start, std::uint32_t count, bool burst) {
    if constexpr (kKinds == Kinds::kCounted) {
      if (!c.writes) return component<Kinds::kNone>(c, depth, start, count, burst);
    }
    if (c.child_count > 0) return composite<kKinds>(c, depth, start, count, burst);
    return leaf<kKinds>(c, scratch_->levels[depth], start, count, burst);
  }

  // Sends each access to a child, lets each child fill its share one depth down, and brings the accesses back.
  template <Kinds kKinds>
  std::uint64_t composite(Component& c, std::uint32_t depth, std::uint32_t start, std::uint32_t count, bool burst) {
    Level& level = scratch_->levels[depth];
    Level& next = scratch_->levels[depth + 1];
    const bool below_burst = burst || c.pattern == schema::Pattern::kBurst;
    choose(c, &level.indices[start], count);
    const std::uint64_t* kinds = burst ? &level.kinds[start] : &level.indices[start];
    const bool divided = partition(c, below_burst ? kinds : nullptr, next, count);
    std::uint64_t writes = 0;
    std::uint32_t first = 0;
    for (std::uint32_t child = 0; child < c.child_count; child++) {
      const std::uint32_t size = c.ends[child] - first;
      if (size > 0) writes += component<kKinds>(components_[c.children[child]], depth + 1, first, size, below_burst);
      first = c.ends[child];
    }
    gather<kKinds>(next, divided, count, &level.pages[start], &level.words[start]);
    return writes;
  }

  template <Kinds kKinds>
  static void gather(const Level& next, bool divided, std::uint32_t count, std::uint64_t* pages, std::uint16_t* words) {
    if (!divided) {
      std::memcpy(pages, next.pages.data(), count * sizeof *pages);
      if constexpr (kKinds == Kinds::kWritten) std::memcpy(words, next.words.data(), count * sizeof *words);
      return;
    }
    for (std::uint32_t k = 0; k < count; k++) {
      pages[next.positions[k]] = next.pages[k];
      if constexpr (kKinds == Kinds::kWritten) words[next.positions[k]] = next.words[k];
    }
  }

  // The child of each access, and the index which that child sees.
  void choose(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    switch (c.pattern) {
      case schema::Pattern::kBurst:
        choose_burst(c, indices, count);
        break;
      case schema::Pattern::kMix:
        choose_mix(c, indices, count);
        break;
      case schema::Pattern::kPhases:
        choose_phase(c, indices, count);
        break;
      default:
        choose_in_turn(c, indices, count);
    }
  }

  void choose_burst(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    Divider divider(c.parameter(kSlotLength));
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      scratch_->choices[k] = 0;
      scratch_->child_indices[k] = divider.quotient;
    }
  }

  void choose_in_turn(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    Divider divider(c.child_count);
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      scratch_->choices[k] = divider.remainder;
      scratch_->child_indices[k] = divider.quotient;
    }
  }

  void choose_mix(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    constexpr auto kMixture = static_cast<std::uint32_t>(schema::Purpose::kMixture);
    const lanes::Vec one = lanes::splat(1);
    for (std::uint32_t at = 0; at < count; at += lanes::kBlock) {
      const PhiloxBlock drawn = philox_block(indices + at, c.stream, kMixture, seed_low_, seed_high_);
      for (std::uint32_t u = 0; u < lanes::kUnroll; u++) {
        // Limits ascend: the child is the number of limits that the word has reached.
        const lanes::Vec word = low_half(drawn.word0[u]);
        lanes::Vec child = lanes::splat(0);
        for (std::uint32_t limit = 0; limit < c.limit_count; limit++) {
          child = select(less(word, lanes::splat(c.limits[limit])), child, child + one);
        }
        lanes::store(&scratch_->choices[at + u * lanes::kLanes], child);
      }
    }
    std::memcpy(scratch_->child_indices.data(), indices, count * sizeof *indices);
  }

  void choose_phase(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    Divider divider(c.parameter(kSlotPeriod));
    std::uint32_t phase = 0;
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      const std::uint64_t at = divider.remainder;
      if (at < c.limits[phase]) phase = 0;
      while (phase + 1 < c.limit_count && at >= c.limits[phase + 1]) phase++;
      scratch_->choices[k] = phase;
      scratch_->child_indices[k] = at - c.limits[phase];
    }
  }

  // Sorts the accesses by child, in their order, into the next level; c.ends then tells where each share ends. False
  // when one child has them all, whose share then needs no positions.
  bool partition(Component& c, const std::uint64_t* kinds, Level& next, std::uint32_t count) {
    return c.child_count <= kPackedChildren ? pack_shares(c, kinds, next, count) : sort_shares(c, kinds, next, count);
  }

  // For few children: each takes its accesses out of the batch over lanes. Counters in memory, which every access
  // would wait for, cost more.
  bool pack_shares(Component& c, const std::uint64_t* kinds, Level& next, std::uint32_t count) {
    bool divided = true;
    std::uint32_t end = 0;
    for (std::uint32_t child = 0; child < c.child_count; child++) {
      const std::uint32_t first = end;
      if (end < count) end = pack_share(child, kinds, next, end, count);
      c.ends[child] = end;
      if (end - first == count) divided = false;
    }
    return divided;
  }

  // Packs one child's share from place `end` on; returns where it ends.
  std::uint32_t pack_share(std::uint32_t child, const std::uint64_t* kinds, Level& next, std::uint32_t end,
                           std::uint32_t count) {
    const lanes::Vec own = lanes::splat(child);
    for (std::uint32_t at = 0; at < count; at += lanes::kLanes) {
      const std::uint32_t chosen =
          lanes::bits(equal(lanes::load(&scratch_->choices[at]), own)) & valid_lanes(at, count);
      lanes::pack(&next.indices[end], chosen, lanes::load(&scratch_->child_indices[at]));
      lanes::pack(&next.positions[end], chosen, lanes::splat(at) + lanes::ascending());
      if (kinds != nullptr) lanes::pack(&next.kinds[end], chosen, lanes::load(kinds + at));
      end += static_cast<std::uint32_t>(__builtin_popcount(chosen));
    }
    return end;
  }

  // For many children: a counting sort.
  bool sort_shares(Component& c, const std::uint64_t* kinds, Level& next, std::uint32_t count) {
    std::memset(c.ends, 0, c.child_count * sizeof *c.ends);
    for (std::uint32_t k = 0; k < count; k++) c.ends[scratch_->choices[k]]++;
    std::uint32_t first = 0;
    for (std::uint32_t child = 0; child < c.child_count; child++) {
      const std::uint32_t size = c.ends[child];
      c.ends[child] = first;
      first += size;
    }
    for (std::uint32_t k = 0; k < count; k++) {
      const std::uint32_t place = c.ends[scratch_->choices[k]]++;
      next.indices[place] = scratch_->child_indices[k];
      next.positions[place] = k;
      if (kinds != nullptr) next.kinds[place] = kinds[k];
    }
    return true;
  }

  template <Kinds kKinds>
  std::uint64_t leaf(const Component& c, Level& level, std::uint32_t start, std::uint32_t count, bool burst) {
    const std::uint64_t* indices = &level.indices[start];
    std::uint64_t* pages = &level.pages[start];
    std::uint16_t* words = &level.words[start];
    const std::uint64_t* kinds = burst ? &level.kinds[start] : indices;
    if (c.pattern == schema::Pattern::kStride) return stride<kKinds>(c, indices, kinds, count, pages, words);
    if (!burst) return pattern<kKinds>(c, indices, count, pages, words);
    // A burst repeats its index: pages are found once for each, kinds for every access.
    const std::uint32_t size = find_distinct(indices, count);
    pattern<Kinds::kNone>(c, scratch_->distinct.data(), size, scratch_->distinct_pages.data(), nullptr);
    for (std::uint32_t k = 0; k < count; k++) pages[k] = scratch_->distinct_pages[scratch_->places[k]];
    return draw_kinds<kKinds>(c, kinds, count, words);
  }

  // Puts each run of one index once into `distinct_`, and for each access where that is into `places_`.
  std::uint32_t find_distinct(const std::uint64_t* indices, std::uint32_t count) {
    std::uint32_t size = 0;
    for (std::uint32_t k = 0; k < count; k++) {
      scratch_->distinct[size] = indices[k];
      scratch_->places[k] = size;
      size += k + 1 == count || indices[k + 1] != indices[k];
    }
    return size;
  }

  template <Kinds kKinds>
  std::uint64_t pattern(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages,
                        std::uint16_t* words) {
    switch (c.pattern) {
      case schema::Pattern::kZipf:
        return zipf<kKinds>(c, indices, count, pages, words);
      case schema::Pattern::kHotcold:
        return hotcold<kKinds>(c, indices, count, pages, words);
      case schema::Pattern::kWindow:
        return window<kKinds>(c, indices, count, pages, words);
      case schema::Pattern::kChase:
        chase(c, indices, count, pages);
        return draw_kinds<kKinds>(c, indices, count, words);
      case schema::Pattern::kBtree:
        btree(c, indices, count, pages);
        return draw_kinds<kKinds>(c, indices, count, words);
      default:
        return uniform<kKinds>(c, indices, count, pages, words);
    }
  }

  // Draws for each access; hands the first two words to `take` (place, vector, vector), and makes kind and offset out
  // of the other two. Returns how many accesses write.
  template <Kinds kKinds, class Take>
  NESTWALK_INLINE std::uint64_t draws(const Component& c, const std::uint64_t* indices, std::uint32_t count,
                                      std::uint16_t* words, Take take) {
    constexpr auto kAccess = static_cast<std::uint32_t>(schema::Purpose::kAccess);
    const lanes::Vec threshold = lanes::splat(c.write_threshold);
    const lanes::Vec write = lanes::splat(kWrite);
    const lanes::Vec offset_mask = lanes::splat(kOffsetMask);
    std::uint64_t writes = 0;
    for (std::uint32_t block = 0; block < count; block += lanes::kBlock) {
      const PhiloxBlock drawn = philox_block(indices + block, c.stream, kAccess, seed_low_, seed_high_);
#pragma GCC unroll 4
      for (std::uint32_t u = 0; u < lanes::kUnroll; u++) {
        const std::uint32_t at = block + u * lanes::kLanes;
        take(at, drawn.word0[u], drawn.word1[u]);
        if constexpr (kKinds != Kinds::kNone) {
          const lanes::Mask is_write = less(low_half(drawn.word2[u]), threshold);
          writes += static_cast<std::uint32_t>(__builtin_popcount(lanes::bits(is_write) & valid_lanes(at, count)));
          if constexpr (kKinds == Kinds::kWritten) {
            const lanes::Vec offset = lanes::shift_right<kOffsetShift>(drawn.word3[u]) & offset_mask;
            store_narrow(words + at, offset | select(is_write, write, lanes::splat(0)));
          }
        }
      }
    }
    return writes;
  }

  // Bits of the lanes from `at` on that are before `count`.
  NESTWALK_INLINE static std::uint32_t valid_lanes(std::uint32_t at, std::uint32_t count) {
    constexpr std::uint32_t kAll = (std::uint32_t{1} << lanes::kLanes) - 1;
    if (at + lanes::kLanes <= count) return kAll;
    return at < count ? (std::uint32_t{1} << (count - at)) - 1 : 0;
  }

  // Kinds and offsets alone.
  template <Kinds kKinds>
  std::uint64_t draw_kinds(const Component& c, const std::uint64_t* indices, std::uint32_t count,
                           std::uint16_t* words) {
    if constexpr (kKinds == Kinds::kNone) return 0;
    return draws<kKinds>(c, indices, count, words, [](std::uint32_t, lanes::Vec, lanes::Vec) {});
  }

  template <Kinds kKinds>
  std::uint64_t uniform(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages,
                        std::uint16_t* words) {
    const Below below_pages(c.pages);
    const lanes::Vec base = lanes::splat(c.base_page);
    return draws<kKinds>(c, indices, count, words, [&](std::uint32_t at, lanes::Vec word0, lanes::Vec) {
      lanes::store(pages + at, base + below_pages(word0));
    });
  }

  // A stride has offsets of its own; only the kinds are drawn.
  template <Kinds kKinds>
  std::uint64_t stride(const Component& c, const std::uint64_t* indices, const std::uint64_t* kinds,
                       std::uint32_t count, std::uint64_t* pages, std::uint16_t* words) {
    const std::uint64_t writes = c.writes ? draw_kinds<kKinds>(c, kinds, count, words) : 0;
    Progression progression = c.progression();
    for (std::uint32_t k = 0; k < count; k++) {
      progression.seek(indices[k]);
      pages[k] = c.base_page + (progression.value >> 12);
      if constexpr (kKinds == Kinds::kWritten) {
        const std::uint16_t kind = c.writes ? words[k] & kWrite : 0;
        words[k] = static_cast<std::uint16_t>(kind | (progression.value & 4095));
      }
    }
    return writes;
  }

  void chase(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages) {
    Divider divider(c.pages);
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      pages[k] = divider.remainder;
    }
    permute(c, count, pages);
  }

  // Pages in the region to absolute pages through the component's permutation. Values that have to walk on are
  // collected and sent through together: whether one does is a coin's throw, which no branch predictor knows.
  void permute(const Component& c, std::uint32_t count, std::uint64_t* pages) {
    const Permutation& permutation = c.permutation;
    const std::uint64_t n = permutation.size();
    if (!permutation.tabulated()) {
      for (std::uint32_t k = 0; k < count; k++) {
        do pages[k] = permutation.pass(pages[k]);
        while (pages[k] >= n);
        pages[k] += c.base_page;
      }
      return;
    }
    for (std::uint32_t k = 0; k < count; k++) pages[k] = permutation.tabulated_pass(pages[k]);
    std::uint32_t pending = permutation.whole() ? 0 : collect(pages, count, n);
    while (pending > 0) {
      std::uint32_t kept = 0;
      for (std::uint32_t k = 0; k < pending; k++) {
        const std::uint32_t place = scratch_->pending[k];
        pages[place] = permutation.tabulated_pass(pages[place]);
        scratch_->pending[kept] = place;
        kept += pages[place] >= n;
      }
      pending = kept;
    }
    for (std::uint32_t k = 0; k < count; k++) pages[k] += c.base_page;
  }

  // Puts the places of the values that are n or more into `pending_`.
  std::uint32_t collect(const std::uint64_t* values, std::uint32_t count, std::uint64_t n) {
    std::uint32_t pending = 0;
    for (std::uint32_t k = 0; k < count; k++) {
      scratch_->pending[pending] = k;
      pending += values[k] >= n;
    }
    return pending;
  }

  // Each lookup takes as many accesses as the tree has levels, from the root down to the leaf that its key has.
  void btree(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages) {
    constexpr auto kLookupKey = static_cast<std::uint32_t>(schema::Purpose::kLookupKey);
    const std::uint32_t lookups = find_lookups(c, indices, count);
    const Below below_leaves(c.parameter(kSlotLeaves));
    for (std::uint32_t at = 0; at < lookups; at += lanes::kBlock) {
      const PhiloxBlock drawn = philox_block(&scratch_->keys[at], c.stream, kLookupKey, seed_low_, seed_high_);
      for (std::uint32_t u = 0; u < lanes::kUnroll; u++) {
        lanes::store(&scratch_->keys[at + u * lanes::kLanes], below_leaves(drawn.word0[u]));
      }
    }
    for (std::uint32_t k = 0; k < count; k++) {
      const std::uint64_t before = c.limits[2 * scratch_->lookup_levels[k]];
      const std::uint64_t leaves_below = c.limits[2 * scratch_->lookup_levels[k] + 1];
      pages[k] = c.base_page + before + scratch_->keys[scratch_->lookup_places[k]] / leaves_below;
    }
  }

  // Puts each lookup once into `keys_`, and for each access its lookup and its level beside.
  std::uint32_t find_lookups(const Component& c, const std::uint64_t* indices, std::uint32_t count) {
    Divider divider(c.parameter(kSlotLevels));
    std::uint32_t size = 0;
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      if (size == 0 || scratch_->keys[size - 1] != divider.quotient) scratch_->keys[size++] = divider.quotient;
      scratch_->lookup_places[k] = size - 1;
      scratch_->lookup_levels[k] = static_cast<std::uint32_t>(divider.remainder);
    }
    return size;
  }

  // Draws the whole batch and fetches its table lines, then looks them up: the misses overlap.
  template <Kinds kKinds>
  std::uint64_t zipf(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages,
                     std::uint16_t* words) {
    const std::uint32_t* table = tables_[c.parameter(kSlotTable)];
    const bool prefetches = c.pages > kPrefetchPages;
    const Below below_pages(c.pages);
    const std::uint64_t writes =
        draws<kKinds>(c, indices, count, words, [&](std::uint32_t at, lanes::Vec word0, lanes::Vec word1) {
          lanes::store(&scratch_->slots[at], below_pages(word0));
          lanes::store(&scratch_->seconds[at], low_half(word1));
          if (!prefetches) return;
          for (std::uint32_t k = 0; k < lanes::kLanes; k++) __builtin_prefetch(table + 2 * scratch_->slots[at + k]);
        });
    const bool scattered = c.parameter(kSlotClustered) == 0;
    const std::uint64_t base = scattered ? 0 : c.base_page;
    for (std::uint32_t k = 0; k < count; k++) {
      // Without a branch: which of the two it is no predictor knows.
      const std::uint64_t j = scratch_->slots[k];
      const std::uint64_t alias = table[2 * j + 1];
      const std::uint64_t keeps = -std::uint64_t{scratch_->seconds[k] < table[2 * j]};
      pages[k] = base + (alias ^ ((j ^ alias) & keeps));
    }
    if (scattered) permute(c, count, pages);
    return writes;
  }

  template <Kinds kKinds>
  std::uint64_t hotcold(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages,
                        std::uint16_t* words) {
    const std::uint64_t hot_pages = c.parameter(kSlotHotPages);
    const lanes::Vec threshold = lanes::splat(c.parameter(kSlotHotThreshold));
    // Both parts have fewer than 2^32 pages.
    const lanes::Vec hot = lanes::splat(hot_pages);
    const lanes::Vec cold = lanes::splat(c.pages - hot_pages);
    const lanes::Vec first_hot = lanes::splat(c.base_page);
    const lanes::Vec first_cold = lanes::splat(c.base_page + hot_pages);
    return draws<kKinds>(c, indices, count, words, [&](std::uint32_t at, lanes::Vec word0, lanes::Vec word1) {
      const lanes::Mask is_hot = less(low_half(word1), threshold);
      const lanes::Vec page = high_half(multiply(word0, select(is_hot, hot, cold)));
      lanes::store(pages + at, page + select(is_hot, first_hot, first_cold));
    });
  }

  template <Kinds kKinds>
  std::uint64_t window(const Component& c, const std::uint64_t* indices, std::uint32_t count, std::uint64_t* pages,
                       std::uint16_t* words) {
    Divider divider(c.parameter(kSlotEvery));
    Progression progression = c.progression();
    for (std::uint32_t k = 0; k < count; k++) {
      divider.seek(indices[k]);
      progression.seek(divider.quotient);
      scratch_->slots[k] = progression.value;
    }
    const Below below_window(c.parameter(kSlotWindowPages));
    const lanes::Vec size = lanes::splat(c.pages);
    const lanes::Vec base = lanes::splat(c.base_page);
    return draws<kKinds>(c, indices, count, words, [&](std::uint32_t at, lanes::Vec word0, lanes::Vec) {
      const lanes::Vec page = lanes::load(&scratch_->slots[at]) + below_window(word0);
      lanes::store(pages + at, base + select(less(page, size), page, page - size));
    });
  }

  std::uint32_t seed_low_ = 0;
  std::uint32_t seed_high_ = 0;
  Component* components_ = nullptr;
  Buffer<std::uint64_t> records_;
  Buffer<std::uint64_t> links_;
  Buffer<std::uint32_t> ends_;
  Buffer<const std::uint32_t*> tables_;
  GeneratorScratch* scratch_ = nullptr;
  // Components on the longest path from the whole workload to a leaf.
  std::uint32_t depth_ = 1;
  std::uint64_t page_bound_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
