// Three layouts of least-recently-used sets, one semantics. Way numbers cannot be seen under lru (only the order of the
// contents can), so each layout may place entries as it likes.
//
// - OrderedSets: keys only, kept most recent first in the set itself; look-up, promotion and fill are one branch-free
//   vector operation. For TLBs of static runs and PTE caches.
// - NarrowLru: up to 16 ways with payloads at fixed slots; the order is a word of 4-bit way numbers.
// - WideLru: any number of ways; a hash table over the slots and a linked list in each set.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "buffer.h"

namespace nestwalk::NESTWALK_TIER {

// Key of an empty slot. Real keys are at most 2^63 (owner, number, size) or below 2^32 - 1 in 32-bit sets.
inline constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

template <class Key, unsigned kLanes>
class OrderedSets {
  static_assert(kLanes == 4 || kLanes == 8 || kLanes == 16 || kLanes == 32);
  using Mask = std::uint32_t;

 public:
  void allocate(std::uint32_t sets, std::uint32_t ways) {
    ways_ = ways;
    way_mask_ = ways == 8 * sizeof(Mask) ? ~Mask{0} : (Mask{1} << ways) - 1;
    sets_ = sets;
    keys_.allocate(std::size_t{sets} * kLanes, 0xff);
#if defined(__AVX2__)
    alignas(16) std::int32_t lanes[4];
    for (std::uint32_t i = 0; i < 4; i++) lanes[i] = i < ways ? 0 : -1;
    beyond_ = _mm_load_si128(reinterpret_cast<const __m128i*>(lanes));
#endif
  }

  // Looks a key up in a set; a hit becomes the most recent, a miss is filled over the least recent.
  bool access(std::uint32_t set, Key key) {
    return handle().access(set, key);
  }

  // What a loop of look-ups works with: copies of what stays the same, so that stores between look-ups cannot change it
  // in the compiler's eyes.
  struct Handle {
    Key* first;
    std::uint32_t ways_;
    Mask way_mask_;
#if defined(__AVX2__)
    __m128i beyond_;
#endif

    [[gnu::always_inline]] bool access(std::uint32_t set, Key key) const {
      return look_up(set, key) != 0;
    }
    // How many keys of the set are more recent than this one; at least kLanes when it is not there.
    [[gnu::always_inline]] std::uint32_t depth(std::uint32_t set, Key key) const {
      return static_cast<std::uint32_t>(std::countr_zero(look_up(set, key)));
    }

    // The place where the key was, as a bit; 0 when it was not there.
    [[gnu::always_inline]] Mask look_up(std::uint32_t set, Key key) const {
      Key* keys = first + std::size_t{set} * kLanes;
#if defined(__AVX2__)
      if constexpr (sizeof(Key) == 4 && kLanes == 4) return access_four(keys, key);
#endif
#if defined(__AVX512VL__)
      if constexpr (sizeof(Key) == 4 && kLanes == 8) {
        const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
        const __m256i k = _mm256_set1_epi32(static_cast<int>(key));
        const std::uint32_t match = _mm256_cmpeq_epi32_mask(v, k) & way_mask_;
        const auto update = static_cast<__mmask8>((match ^ (match - 1)) & way_mask_);
        _mm256_store_si256(reinterpret_cast<__m256i*>(keys), _mm256_mask_alignr_epi32(v, update, v, k, 7));
        return match;
      } else if constexpr (sizeof(Key) == 4) {
        const __m512i k = _mm512_set1_epi32(static_cast<int>(key));
        constexpr unsigned kVectors = kLanes / 16;
        __m512i v[kVectors];
        Mask match = 0;
        for (unsigned i = 0; i < kVectors; i++) {
          v[i] = _mm512_load_si512(keys + 16 * i);
          match |= Mask{_mm512_cmpeq_epi32_mask(v[i], k)} << (16 * i);
        }
        match &= way_mask_;
        const Mask update = (match ^ (match - 1)) & way_mask_;
        __m512i before = k;
        for (unsigned i = 0; i < kVectors; i++) {
          const auto mask = static_cast<__mmask16>(update >> (16 * i));
          _mm512_store_si512(keys + 16 * i, _mm512_mask_alignr_epi32(v[i], mask, v[i], before, 15));
          before = v[i];
        }
        return match;
      } else if constexpr (kLanes == 4) {
        const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
        const __m256i k = _mm256_set1_epi64x(static_cast<long long>(key));
        const std::uint32_t match = _mm256_cmpeq_epi64_mask(v, k) & way_mask_;
        const auto update = static_cast<__mmask8>((match ^ (match - 1)) & way_mask_);
        _mm256_store_si256(reinterpret_cast<__m256i*>(keys), _mm256_mask_alignr_epi64(v, update, v, k, 3));
        return match;
      } else {
        const __m512i k = _mm512_set1_epi64(static_cast<long long>(key));
        constexpr unsigned kVectors = kLanes / 8;
        __m512i v[kVectors];
        Mask match = 0;
        for (unsigned i = 0; i < kVectors; i++) {
          v[i] = _mm512_load_si512(keys + 8 * i);
          match |= Mask{_mm512_cmpeq_epi64_mask(v[i], k)} << (8 * i);
        }
        match &= way_mask_;
        const Mask update = (match ^ (match - 1)) & way_mask_;
        __m512i before = k;
        for (unsigned i = 0; i < kVectors; i++) {
          const auto mask = static_cast<__mmask8>(update >> (8 * i));
          _mm512_store_si512(keys + 8 * i, _mm512_mask_alignr_epi64(v[i], mask, v[i], before, 7));
          before = v[i];
        }
        return match;
      }
#elif defined(__AVX2__)
      if constexpr (sizeof(Key) == 4) {
        constexpr unsigned kVectors = kLanes / 8;
        const __m256i k = _mm256_set1_epi32(static_cast<int>(key));
        const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        const __m256i rotate = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
        __m256i v[kVectors];
        Mask match = 0;
        for (unsigned i = 0; i < kVectors; i++) {
          v[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys + 8 * i));
          match |= static_cast<Mask>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(v[i], k)))) << (8 * i);
        }
        match &= way_mask_;
        const Mask update = (match ^ (match - 1)) & way_mask_;
        __m256i before = k;
        for (unsigned i = 0; i < kVectors; i++) {
          const __m256i turned = _mm256_permutevar8x32_epi32(v[i], rotate);
          const __m256i shifted = _mm256_blend_epi32(turned, before, 1);
          const __m256i part = _mm256_set1_epi32(static_cast<int>(update >> (8 * i)));
          const __m256i mask = _mm256_cmpeq_epi32(_mm256_and_si256(part, bits), bits);
          _mm256_store_si256(reinterpret_cast<__m256i*>(keys + 8 * i), _mm256_blendv_epi8(v[i], shifted, mask));
          before = turned;  // Lane 0 is the last key of this vector.
        }
        return match;
      } else {
        return access_scalar(keys, key);
      }
#else
      return access_scalar(keys, key);
#endif
    }

   private:
#if defined(__AVX2__)
    // Few sets are asked for again soon, and then each look-up waits for the last one's keys. So the way from keys to
    // keys is kept short: without leaving the vector registers, a lane keeps its key where a lane before it matched.
    [[gnu::always_inline]] Mask access_four(Key* keys, Key key) const {
      const __m128i v = _mm_load_si128(reinterpret_cast<const __m128i*>(keys));
      const __m128i k = _mm_set1_epi32(static_cast<int>(key));
      const __m128i match = _mm_cmpeq_epi32(v, k);
      const __m128i before =
          _mm_or_si128(_mm_or_si128(_mm_slli_si128(match, 4), _mm_slli_si128(match, 8)), _mm_slli_si128(match, 12));
      // Lanes above the last way always keep theirs, which match nothing. Bitwise, because blends become mask
      // registers.
      const __m128i moved = choose(beyond_, v, _mm_alignr_epi8(v, k, 12));
      _mm_store_si128(reinterpret_cast<__m128i*>(keys), choose(before, v, moved));
      return static_cast<Mask>(_mm_movemask_ps(_mm_castsi128_ps(match)));
    }

    static __m128i choose(__m128i mask, __m128i yes, __m128i no) {
      return _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no));
    }
#endif

    Mask access_scalar(Key* keys, Key key) const {
      Key before = key;
      for (unsigned i = 0; i < ways_; i++) {
        const Key current = keys[i];
        keys[i] = before;
        if (current == key) return Mask{1} << i;
        before = current;
      }
      return 0;
    }
  };

  Handle handle() {
#if defined(__AVX2__)
    return {keys_.data(), ways_, way_mask_, beyond_};
#else
    return {keys_.data(), ways_, way_mask_};
#endif
  }

  // Whether a set holds a key. Changes nothing, so that look-ups do not wait for each other.
  bool holds(std::uint32_t set, Key key) const {
    const Key* keys = keys_.data() + std::size_t{set} * kLanes;
#if defined(__AVX2__)
    if constexpr (sizeof(Key) == 4 && kLanes == 4) {
      const __m128i v = _mm_load_si128(reinterpret_cast<const __m128i*>(keys));
      const __m128i match = _mm_cmpeq_epi32(v, _mm_set1_epi32(static_cast<int>(key)));
      return _mm_testz_si128(match, match) == 0;
    }
#endif
    std::uint32_t found = 0;
    for (unsigned i = 0; i < kLanes; i++) found |= static_cast<std::uint32_t>(keys[i] == key);
    return found != 0;
  }

  // Drops a key if it is there; what is less recent moves up.
  void drop(std::uint32_t set, Key key) {
    Key* keys = keys_.data() + std::size_t{set} * kLanes;
    for (std::uint32_t i = 0; i < ways_; i++) {
      if (keys[i] != key) continue;
      for (; i + 1 < ways_; i++) keys[i] = keys[i + 1];
      keys[ways_ - 1] = static_cast<Key>(kNoKey);
      return;
    }
  }

  // Puts a key at a place of a set: 0 is the most recent.
  void put(std::uint32_t set, std::uint32_t place, Key key) {
    keys_[std::size_t{set} * kLanes + place] = key;
  }

  // All that it remembers: `visit` is given each piece of memory and its bytes.
  template <class Visit>
  void memory(Visit visit) {
    visit(keys_.data(), keys_.size() * sizeof(Key));
  }

  // Where a set lies, for prefetching.
  const Key* set(std::uint32_t set) const {
    return keys_.data() + std::size_t{set} * kLanes;
  }

  // Visits the keys of a set, most recent first.
  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    const Key* keys = keys_.data() + std::size_t{set} * kLanes;
    for (std::uint32_t i = 0; i < ways_ && keys[i] != static_cast<Key>(kNoKey); i++) visit(keys[i]);
  }
  void clear() {
    keys_.fill(0xff);
  }

 private:
  Buffer<Key> keys_;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  Mask way_mask_ = 0;
#if defined(__AVX2__)
  __m128i beyond_ = {};
#endif
};

// Which lanes of `kLanes` 64-bit keys equal a key.
template <unsigned kLanes>
inline std::uint32_t match_lanes(const std::uint64_t* keys, std::uint64_t key) {
  std::uint32_t match = 0;
#if defined(__AVX512VL__)
  if constexpr (kLanes == 4) {
    const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
    return _mm256_cmpeq_epi64_mask(v, _mm256_set1_epi64x(static_cast<long long>(key)));
  } else {
    const __m512i k = _mm512_set1_epi64(static_cast<long long>(key));
    for (unsigned i = 0; i < kLanes; i += 8) {
      match |= std::uint32_t{_mm512_cmpeq_epi64_mask(_mm512_load_si512(keys + i), k)} << i;
    }
  }
#elif defined(__AVX2__)
  const __m256i k = _mm256_set1_epi64x(static_cast<long long>(key));
  for (unsigned i = 0; i < kLanes; i += 4) {
    const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys + i));
    match |= static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(v, k)))) << i;
  }
#else
  for (unsigned i = 0; i < kLanes; i++) match |= std::uint32_t{keys[i] == key} << i;
#endif
  return match;
}

// Which lanes hold keys of an owner, who is in the bits from `shift` on. An empty slot is nobody's.
template <unsigned kLanes>
inline std::uint32_t match_owner(const std::uint64_t* keys, std::uint64_t owner, unsigned shift) {
  std::uint32_t match = 0;
#if defined(__AVX512VL__)
  if constexpr (kLanes >= 8) {
    const __m512i k = _mm512_set1_epi64(static_cast<long long>(owner));
    for (unsigned i = 0; i < kLanes; i += 8) {
      const __m512i owners = _mm512_maskz_srli_epi64(0xff, _mm512_load_si512(keys + i), shift);
      match |= std::uint32_t{_mm512_cmpeq_epi64_mask(owners, k)} << i;
    }
    return match;
  }
#endif
#if defined(__AVX2__)
  const __m256i k = _mm256_set1_epi64x(static_cast<long long>(owner));
  for (unsigned i = 0; i < kLanes; i += 4) {
    const __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys + i));
    const __m256i owners = _mm256_srli_epi64(v, static_cast<int>(shift));
    match |= static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(owners, k)))) << i;
  }
#else
  for (unsigned i = 0; i < kLanes; i++) match |= std::uint32_t{keys[i] >> shift == owner} << i;
#endif
  return match;
}

// Up to kLanes (4 or 16) ways with payloads at fixed slots: slot = set * kLanes + way.
template <unsigned kLanes>
class NarrowLru {
  static_assert(kLanes == 4 || kLanes == 16, "a way number must fit four bits");

 public:
  static constexpr unsigned kMaxWays = kLanes;

  void allocate(std::uint32_t sets, std::uint32_t ways) {
    sets_ = sets;
    ways_ = ways;
    set_mask_ = sets - 1;
    victim_shift_ = 4 * (ways - 1);
    keys_.allocate(std::size_t{sets} * kLanes, 0xff);
    orders_.allocate(sets);
    if (keys_.size() == 0 || orders_.size() == 0) return;  // The factory will see that memory ran out.
    // Any order of empty ways will do.
    for (std::uint32_t s = 0; s < sets; s++) orders_[s] = kAscending;
  }

  std::uint32_t slots() const { return sets_ * kLanes; }
  std::uint32_t set_of(std::uint64_t number) const { return static_cast<std::uint32_t>(number) & set_mask_; }

  NESTWALK_INLINE std::int32_t find(std::uint32_t set, std::uint64_t key) const {
    const std::uint32_t first = set * kLanes;
    const std::uint32_t match = match_lanes<kLanes>(keys_.data() + first, key);
    return match == 0 ? -1 : static_cast<std::int32_t>(first + static_cast<unsigned>(std::countr_zero(match)));
  }

  NESTWALK_INLINE void promote(std::int32_t slot) {
    const std::uint32_t set = static_cast<std::uint32_t>(slot) / kLanes;
    const std::uint64_t way = static_cast<std::uint32_t>(slot) % kLanes;
    const std::uint64_t order = orders_[set];
    // Everything more recent moves back by one place; the rest stays. Without a branch: whether it is the most recent
    // already no predictor knows.
    const std::uint64_t newer = below_way(order, way);
    orders_[set] = (order & ~(newer << 4 | 15)) | ((order & newer) << 4) | way;
  }

  std::int32_t fill(std::uint32_t set, std::uint64_t key) {
    const std::uint64_t order = orders_[set];
    const std::uint64_t way = (order >> victim_shift_) & 15;
    // Ways above the last never come into the order's low places, so shifting it whole is safe.
    const std::uint64_t kept = victim_shift_ == 60 ? 0 : order & ~((std::uint64_t{16} << victim_shift_) - 1);
    const std::uint64_t moved = (order & ((std::uint64_t{1} << victim_shift_) - 1)) << 4;
    orders_[set] = kept | moved | way;
    const std::uint32_t slot = set * kLanes + static_cast<std::uint32_t>(way);
    keys_[slot] = key;
    return static_cast<std::int32_t>(slot);
  }

  // Empties a slot, which becomes the next victim, as the lowest empty way would be.
  void drop(std::int32_t slot) {
    const std::uint32_t set = static_cast<std::uint32_t>(slot) / kLanes;
    const std::uint64_t way = static_cast<std::uint32_t>(slot) % kLanes;
    const std::uint64_t order = orders_[set];
    const std::uint64_t newer = below_way(order, way);
    const std::uint64_t upto = victim_shift_ == 60 ? ~std::uint64_t{0} : (std::uint64_t{16} << victim_shift_) - 1;
    const std::uint64_t older = upto & ~(newer << 4 | 15);
    orders_[set] = (order & ~upto) | (order & newer) | ((order & older) >> 4) | (way << victim_shift_);
    keys_[static_cast<std::uint32_t>(slot)] = kNoKey;
  }

  template <class Predicate>
  void drop_if(Predicate predicate) {
    for (std::uint32_t slot = 0; slot < slots(); slot++) {
      if (keys_[slot] != kNoKey && predicate(keys_[slot])) drop(static_cast<std::int32_t>(slot));
    }
  }

  // Drops all keys of an owner, who is in the bits from `shift` on.
  void drop_owner(std::uint64_t owner, unsigned shift) {
    for (std::uint32_t first = 0; first < slots(); first += kLanes) {
      for (std::uint32_t match = match_owner<kLanes>(keys_.data() + first, owner, shift); match != 0;
           match &= match - 1) {
        drop(static_cast<std::int32_t>(first + static_cast<unsigned>(std::countr_zero(match))));
      }
    }
  }

  void clear() { keys_.fill(0xff); }

  // Makes n keys the whole contents of a set, most recent first; `placed` is told the slot of each.
  template <class Placed>
  void place(std::uint32_t set, const std::uint64_t* keys, std::uint32_t n, Placed placed) {
    const std::uint32_t first = set * kLanes;
    orders_[set] = kAscending;
    for (std::uint32_t way = 0; way < kLanes; way++) keys_[first + way] = way < n ? keys[way] : kNoKey;
    for (std::uint32_t way = 0; way < n; way++) placed(way, first + way);
  }

  // Visits every slot that holds something, with its key.
  template <class Visit>
  void visit_slots(Visit visit) const {
    for (std::uint32_t slot = 0; slot < slots(); slot++) {
      if (keys_[slot] != kNoKey) visit(slot, keys_[slot]);
    }
  }

  // Visits the slots of a set that hold something, most recent first.
  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    for (std::uint32_t i = 0; i < ways_; i++) {
      const std::uint32_t slot = set * kLanes + static_cast<std::uint32_t>((orders_[set] >> (4 * i)) & 15);
      if (keys_[slot] != kNoKey) visit(slot, keys_[slot]);
    }
  }

  std::uint32_t sets() const { return sets_; }

 private:
  // The order in which way 0 is the most recent.
  static constexpr std::uint64_t kAscending = 0xfedcba9876543210;

  // Mask of the places of `order` before the one that names `way`.
  static std::uint64_t below_way(std::uint64_t order, std::uint64_t way) {
    constexpr std::uint64_t kOnes = 0x1111111111111111;
    const std::uint64_t x = order ^ (way * kOnes);
    const std::uint64_t zero = (x - kOnes) & ~x & (kOnes << 3);
    return (std::uint64_t{1} << (std::countr_zero(zero) & ~3)) - 1;
  }

  Buffer<std::uint64_t> keys_;
  Buffer<std::uint64_t> orders_;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  std::uint32_t set_mask_ = 0;
  unsigned victim_shift_ = 0;
};

// Any number of ways: a chained hash table finds the slot, a linked list in each set keeps the order.
class WideLru {
 public:
  static constexpr unsigned kMaxWays = 1u << 24;

  void allocate(std::uint32_t sets, std::uint32_t ways) {
    sets_ = sets;
    ways_ = ways;
    set_mask_ = sets - 1;
    const std::uint32_t entries = sets * ways;
    // Small arrays have room for sparse buckets: then a chain is seldom longer than one.
    hash_shift_ = 64 - static_cast<unsigned>(std::bit_width((entries <= 256 ? 16 : 4) * entries - 1));
    nodes_.allocate(std::size_t{entries});
    heads_.allocate(sets);
    buckets_.allocate(std::size_t{1} << (64 - hash_shift_), 0xff);
    // The factory will see that memory ran out.
    if (nodes_.size() != 0 && heads_.size() != 0 && buckets_.size() != 0) clear();
  }

  std::uint32_t slots() const { return sets_ * ways_; }
  std::uint32_t set_of(std::uint64_t number) const { return static_cast<std::uint32_t>(number) & set_mask_; }

  std::int32_t find(std::uint32_t, std::uint64_t key) const {
    std::int32_t slot = buckets_[hash(key)];
    while (slot >= 0 && nodes_[static_cast<std::uint32_t>(slot)].key != key)
      slot = nodes_[static_cast<std::uint32_t>(slot)].chain;
    return slot;
  }

  void promote(std::int32_t slot) {
    const std::uint32_t set = static_cast<std::uint32_t>(slot) / ways_;
    if (heads_[set] == slot) return;
    unlink(slot);
    link_first(set, slot);
  }

  std::int32_t fill(std::uint32_t set, std::uint64_t key) {
    const std::int32_t slot = node(heads_[set]).previous;  // The list is a ring: before the first comes the last.
    if (node(slot).key != kNoKey) unchain(slot);
    node(slot).key = key;
    const std::size_t bucket = hash(key);
    node(slot).chain = buckets_[bucket];
    buckets_[bucket] = slot;
    heads_[set] = slot;  // The last of the ring becomes the first without moving.
    return slot;
  }

  void drop(std::int32_t slot) {
    const std::uint32_t set = static_cast<std::uint32_t>(slot) / ways_;
    unchain(slot);
    node(slot).key = kNoKey;
    promote(slot);
    heads_[set] = node(slot).next;  // The first of the ring becomes the last.
  }

  template <class Predicate>
  void drop_if(Predicate predicate) {
    for (std::uint32_t slot = 0; slot < slots(); slot++) {
      if (nodes_[slot].key != kNoKey && predicate(nodes_[slot].key)) drop(static_cast<std::int32_t>(slot));
    }
  }

  void drop_owner(std::uint64_t owner, unsigned shift) {
    drop_if([=](std::uint64_t key) { return key >> shift == owner; });
  }

  // Makes n keys the whole contents of an empty set, most recent first; `placed` is told the slot of each.
  template <class Placed>
  void place(std::uint32_t set, const std::uint64_t* keys, std::uint32_t n, Placed placed) {
    for (std::uint32_t i = n; i-- > 0;) placed(i, static_cast<std::uint32_t>(fill(set, keys[i])));
  }

  template <class Visit>
  void visit_slots(Visit visit) const {
    for (std::uint32_t slot = 0; slot < slots(); slot++) {
      if (nodes_[slot].key != kNoKey) visit(slot, nodes_[slot].key);
    }
  }

  // All that it remembers: `visit` is given each piece of memory and its bytes.
  template <class Visit>
  void memory(Visit visit) {
    visit(nodes_.data(), nodes_.size() * sizeof(Node));
    visit(heads_.data(), heads_.size() * sizeof(std::int32_t));
    visit(buckets_.data(), buckets_.size() * sizeof(std::int32_t));
  }

  void clear() {
    buckets_.fill(0xff);
    for (std::uint32_t set = 0; set < sets_; set++) {
      const std::uint32_t first = set * ways_;
      for (std::uint32_t way = 0; way < ways_; way++) {
        Node& n = nodes_[first + way];
        n.key = kNoKey;
        n.next = static_cast<std::int32_t>(first + (way + 1) % ways_);
        n.previous = static_cast<std::int32_t>(first + (way + ways_ - 1) % ways_);
      }
      heads_[set] = static_cast<std::int32_t>(first);
    }
  }

  template <class Visit>
  void visit(std::uint32_t set, Visit visit) const {
    std::int32_t slot = heads_[set];
    for (std::uint32_t i = 0; i < ways_; i++) {
      const Node& n = nodes_[static_cast<std::uint32_t>(slot)];
      if (n.key != kNoKey) visit(static_cast<std::uint32_t>(slot), n.key);
      slot = n.next;
    }
  }

  std::uint32_t sets() const { return sets_; }

 private:
  struct Node {
    std::uint64_t key;
    std::int32_t chain;
    std::int32_t next;
    std::int32_t previous;
  };

  Node& node(std::int32_t slot) { return nodes_[static_cast<std::uint32_t>(slot)]; }
  std::size_t hash(std::uint64_t key) const { return (key * 0x9e3779b97f4a7c15) >> hash_shift_; }

  void unlink(std::int32_t slot) {
    const Node& n = node(slot);
    node(n.previous).next = n.next;
    node(n.next).previous = n.previous;
  }

  void link_first(std::uint32_t set, std::int32_t slot) {
    Node& n = node(slot);
    const std::int32_t first = heads_[set];
    n.next = first;
    n.previous = node(first).previous;
    node(n.previous).next = slot;
    node(first).previous = slot;
    heads_[set] = slot;
  }

  void unchain(std::int32_t slot) {
    std::int32_t* link = &buckets_[hash(node(slot).key)];
    while (*link != slot) link = &node(*link).chain;
    *link = node(slot).chain;
  }

  Buffer<Node> nodes_;
  Buffer<std::int32_t> heads_;
  Buffer<std::int32_t> buckets_;
  std::uint32_t sets_ = 0;
  std::uint32_t ways_ = 0;
  std::uint32_t set_mask_ = 0;
  unsigned hash_shift_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
