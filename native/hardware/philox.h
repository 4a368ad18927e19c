// Philox4x32-10 (Salmon et al., SC 2011), what is drawn from its words, and the permutation over pages.
// Semantics: src/hardware/philox.ts. Here it also runs over lanes: eight with AVX-512, four with AVX2, else one.
#pragma once

#ifndef NESTWALK_TIER
#error "define NESTWALK_TIER (base, avx2 or avx512) before including the hardware headers"
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "buffer.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace nestwalk::NESTWALK_TIER {

// Lanes of 64 bits. Of most, the low 32 bits count: a 32 x 32-bit product ignores the high ones. `pack` stores the
// chosen lanes, given as bits, one after the other; what it stores behind them is rubbish.
namespace lanes {

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512BW__)

inline constexpr std::uint32_t kLanes = 8;
struct Vec {
  __m512i v;
};
using Mask = __mmask8;

NESTWALK_INLINE Vec splat(std::uint64_t value) {
  return {_mm512_set1_epi64(static_cast<long long>(value))};
}
NESTWALK_INLINE Vec load(const std::uint64_t* from) {
  return {_mm512_loadu_si512(from)};
}
NESTWALK_INLINE void store(std::uint64_t* to, Vec a) {
  _mm512_storeu_si512(to, a.v);
}
NESTWALK_INLINE Vec ascending() {
  return {_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)};
}
NESTWALK_INLINE Vec operator+(Vec a, Vec b) {
  return {_mm512_add_epi64(a.v, b.v)};
}
NESTWALK_INLINE Vec operator-(Vec a, Vec b) {
  return {_mm512_sub_epi64(a.v, b.v)};
}
NESTWALK_INLINE Vec operator&(Vec a, Vec b) {
  return {_mm512_and_si512(a.v, b.v)};
}
NESTWALK_INLINE Vec operator|(Vec a, Vec b) {
  return {_mm512_or_si512(a.v, b.v)};
}
NESTWALK_INLINE Vec xor3(Vec a, Vec b, Vec c) {
  return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)};
}
// Zero-masking forms with a full mask: the same instructions, without the undefined operand that makes g++ 12 warn.
NESTWALK_INLINE Vec multiply(Vec a, Vec b) {
  return {_mm512_maskz_mul_epu32(0xff, a.v, b.v)};
}
template <int kBits>
NESTWALK_INLINE Vec shift_right(Vec a) {
  return {_mm512_maskz_srli_epi64(0xff, a.v, kBits)};
}
NESTWALK_INLINE Mask less(Vec a, Vec b) {
  return _mm512_cmplt_epu64_mask(a.v, b.v);
}
NESTWALK_INLINE Vec select(Mask mask, Vec yes, Vec no) {
  return {_mm512_mask_blend_epi64(mask, no.v, yes.v)};
}
NESTWALK_INLINE Mask equal(Vec a, Vec b) {
  return _mm512_cmpeq_epu64_mask(a.v, b.v);
}
NESTWALK_INLINE std::uint32_t bits(Mask mask) {
  return mask;
}
NESTWALK_INLINE void pack(std::uint64_t* to, std::uint32_t chosen, Vec a) {
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi64(static_cast<Mask>(chosen), a.v));
}
NESTWALK_INLINE void store_narrow(std::uint16_t* to, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi64_epi16(0xff, a.v));
}
NESTWALK_INLINE void store_narrow(std::uint32_t* to, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi64_epi32(0xff, a.v));
}

#elif defined(__AVX2__)

inline constexpr std::uint32_t kLanes = 4;
struct Vec {
  __m256i v;
};
using Mask = Vec;

NESTWALK_INLINE Vec splat(std::uint64_t value) {
  return {_mm256_set1_epi64x(static_cast<long long>(value))};
}
NESTWALK_INLINE Vec load(const std::uint64_t* from) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))};
}
NESTWALK_INLINE void store(std::uint64_t* to, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a.v);
}
NESTWALK_INLINE Vec ascending() {
  return {_mm256_setr_epi64x(0, 1, 2, 3)};
}
NESTWALK_INLINE Vec operator+(Vec a, Vec b) {
  return {_mm256_add_epi64(a.v, b.v)};
}
NESTWALK_INLINE Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_epi64(a.v, b.v)};
}
NESTWALK_INLINE Vec operator&(Vec a, Vec b) {
  return {_mm256_and_si256(a.v, b.v)};
}
NESTWALK_INLINE Vec operator|(Vec a, Vec b) {
  return {_mm256_or_si256(a.v, b.v)};
}
NESTWALK_INLINE Vec xor3(Vec a, Vec b, Vec c) {
  return {_mm256_xor_si256(_mm256_xor_si256(b.v, c.v), a.v)};
}
NESTWALK_INLINE Vec multiply(Vec a, Vec b) {
  return {_mm256_mul_epu32(a.v, b.v)};
}
template <int kBits>
NESTWALK_INLINE Vec shift_right(Vec a) {
  return {_mm256_srli_epi64(a.v, kBits)};
}
// The comparison is a signed one: both sides are below 2^63.
NESTWALK_INLINE Mask less(Vec a, Vec b) {
  return {_mm256_cmpgt_epi64(b.v, a.v)};
}
NESTWALK_INLINE Vec select(Mask mask, Vec yes, Vec no) {
  return {_mm256_blendv_epi8(no.v, yes.v, mask.v)};
}
NESTWALK_INLINE Mask equal(Vec a, Vec b) {
  return {_mm256_cmpeq_epi64(a.v, b.v)};
}
NESTWALK_INLINE std::uint32_t bits(Mask mask) {
  return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(mask.v)));
}
// For each set of chosen lanes, the 32-bit halves of those lanes in order.
struct PackTable {
  alignas(32) std::uint32_t halves[16][8];
};
inline constexpr PackTable kPackTable = [] {
  PackTable table{};
  for (std::uint32_t chosen = 0; chosen < 16; chosen++) {
    std::uint32_t place = 0;
    for (std::uint32_t lane = 0; lane < 4; lane++) {
      if ((chosen >> lane & 1) == 0) continue;
      table.halves[chosen][place++] = 2 * lane;
      table.halves[chosen][place++] = 2 * lane + 1;
    }
  }
  return table;
}();
NESTWALK_INLINE void pack(std::uint64_t* to, std::uint32_t chosen, Vec a) {
  const auto* halves = reinterpret_cast<const __m256i*>(kPackTable.halves[chosen]);
  store(to, {_mm256_permutevar8x32_epi32(a.v, _mm256_load_si256(halves))});
}
NESTWALK_INLINE void store_narrow(std::uint16_t* to, Vec a) {
  const __m256i low_words = _mm256_setr_epi8(0, 1, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                             0, 1, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i pairs = _mm256_shuffle_epi8(a.v, low_words);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
}
NESTWALK_INLINE void store_narrow(std::uint32_t* to, Vec a) {
  const __m256i even = _mm256_permutevar8x32_epi32(a.v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(even));
}

#else

inline constexpr std::uint32_t kLanes = 1;
struct Vec {
  std::uint64_t v;
};
using Mask = bool;

NESTWALK_INLINE Vec splat(std::uint64_t value) {
  return {value};
}
NESTWALK_INLINE Vec load(const std::uint64_t* from) {
  return {*from};
}
NESTWALK_INLINE void store(std::uint64_t* to, Vec a) {
  *to = a.v;
}
NESTWALK_INLINE Vec ascending() {
  return {0};
}
NESTWALK_INLINE Vec operator+(Vec a, Vec b) {
  return {a.v + b.v};
}
NESTWALK_INLINE Vec operator-(Vec a, Vec b) {
  return {a.v - b.v};
}
NESTWALK_INLINE Vec operator&(Vec a, Vec b) {
  return {a.v & b.v};
}
NESTWALK_INLINE Vec operator|(Vec a, Vec b) {
  return {a.v | b.v};
}
NESTWALK_INLINE Vec xor3(Vec a, Vec b, Vec c) {
  return {a.v ^ b.v ^ c.v};
}
NESTWALK_INLINE Vec multiply(Vec a, Vec b) {
  return {std::uint64_t{static_cast<std::uint32_t>(a.v)} * static_cast<std::uint32_t>(b.v)};
}
template <int kBits>
NESTWALK_INLINE Vec shift_right(Vec a) {
  return {a.v >> kBits};
}
NESTWALK_INLINE Mask less(Vec a, Vec b) {
  return a.v < b.v;
}
NESTWALK_INLINE Vec select(Mask mask, Vec yes, Vec no) {
  return mask ? yes : no;
}
NESTWALK_INLINE Mask equal(Vec a, Vec b) {
  return a.v == b.v;
}
NESTWALK_INLINE std::uint32_t bits(Mask mask) {
  return mask;
}
NESTWALK_INLINE void pack(std::uint64_t* to, std::uint32_t, Vec a) {
  *to = a.v;
}
NESTWALK_INLINE void store_narrow(std::uint16_t* to, Vec a) {
  *to = static_cast<std::uint16_t>(a.v);
}
NESTWALK_INLINE void store_narrow(std::uint32_t* to, Vec a) {
  *to = static_cast<std::uint32_t>(a.v);
}

#endif

NESTWALK_INLINE Vec high_half(Vec a) {
  return shift_right<32>(a);
}
NESTWALK_INLINE Vec low_half(Vec a) {
  return a & splat(0xffffffff);
}

// Vectors in flight at once: a chain of ten rounds is long, and more than one keeps the multipliers busy (measured).
inline constexpr std::uint32_t kUnroll = kLanes == 1 ? 1 : kLanes == 4 ? 3 : 2;
// Numbers in a block; whoever reads or writes blocks has so much room behind the last number.
inline constexpr std::uint32_t kBlock = kLanes * kUnroll;

}  // namespace lanes

inline constexpr int kPhiloxRounds = 10;
inline constexpr std::uint32_t kMultiplier0 = 0xd2511f53;
inline constexpr std::uint32_t kMultiplier1 = 0xcd9e8d57;
inline constexpr std::uint32_t kWeyl0 = 0x9e3779b9;
inline constexpr std::uint32_t kWeyl1 = 0xbb67ae85;

// The four words at a counter under a key.
inline void philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint32_t k0,
                   std::uint32_t k1, std::uint32_t* out) {
  for (int round = 0; round < kPhiloxRounds; round++) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * c0;
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(product0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

// The four words of a block of counters (index low, index high, stream, purpose); their high halves hold rubbish.
struct PhiloxBlock {
  lanes::Vec word0[lanes::kUnroll];
  lanes::Vec word1[lanes::kUnroll];
  lanes::Vec word2[lanes::kUnroll];
  lanes::Vec word3[lanes::kUnroll];
};

NESTWALK_INLINE PhiloxBlock philox_block(const std::uint64_t* indices, std::uint32_t stream, std::uint32_t purpose,
                                         std::uint32_t k0, std::uint32_t k1) {
  PhiloxBlock s;
  // In the first round the product of the stream is the same in all lanes.
  const std::uint64_t product1 = std::uint64_t{kMultiplier1} * stream;
  const lanes::Vec first0 = lanes::splat(static_cast<std::uint32_t>(product1 >> 32) ^ k0);
  const lanes::Vec first2 = lanes::splat(purpose ^ k1);
  const lanes::Vec none = lanes::splat(0);
  const lanes::Vec multiplier0 = lanes::splat(kMultiplier0);
  const lanes::Vec multiplier1 = lanes::splat(kMultiplier1);
#pragma GCC unroll 4
  for (std::uint32_t u = 0; u < lanes::kUnroll; u++) {
    const lanes::Vec index = lanes::load(indices + u * lanes::kLanes);
    const lanes::Vec product0 = multiply(index, multiplier0);
    s.word0[u] = xor3(high_half(index), first0, none);
    s.word1[u] = lanes::splat(static_cast<std::uint32_t>(product1));
    s.word2[u] = xor3(high_half(product0), first2, none);
    s.word3[u] = product0;
  }
#pragma GCC unroll 9
  for (int round = 1; round < kPhiloxRounds; round++) {
    const lanes::Vec key0 = lanes::splat(k0 + static_cast<std::uint32_t>(round) * kWeyl0);
    const lanes::Vec key1 = lanes::splat(k1 + static_cast<std::uint32_t>(round) * kWeyl1);
#pragma GCC unroll 4
    for (std::uint32_t u = 0; u < lanes::kUnroll; u++) {
      const lanes::Vec product0 = multiply(s.word0[u], multiplier0);
      const lanes::Vec product1 = multiply(s.word2[u], multiplier1);
      s.word0[u] = xor3(high_half(product1), s.word1[u], key0);
      s.word1[u] = product1;
      s.word2[u] = xor3(high_half(product0), s.word3[u], key1);
      s.word3[u] = product0;
    }
  }
  return s;
}

// A number from 0 to n - 1 out of a word; n <= 2^32.
NESTWALK_INLINE std::uint64_t below(std::uint32_t word, std::uint64_t n) {
  return (word * n) >> 32;
}

// The same over lanes, for one n.
class Below {
 public:
  explicit Below(std::uint64_t n) : n_(lanes::splat(n)), whole_(lanes::splat(n >> 32 != 0 ? 0xffffffff : 0)) {}
  // For n = 2^32 the product of the low halves is 0 and the word itself is the answer.
  NESTWALK_INLINE lanes::Vec operator()(lanes::Vec word) const {
    return high_half(multiply(word, n_)) | (word & whole_);
  }

 private:
  lanes::Vec n_;
  lanes::Vec whole_;
};

// The first word alone.
inline std::uint32_t philox_word0(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3,
                                  std::uint32_t k0, std::uint32_t k1) {
  std::uint32_t words[4];
  philox(c0, c1, c2, c3, k0, k1, words);
  return words[0];
}

inline constexpr std::uint32_t kFeistelRounds = 4;
// Widest half whose round function is tabulated.
inline constexpr std::uint32_t kTabulatedBits = 16;

// Half the bits of the Feistel network over [0, n): the smallest even number >= 2 whose power of two holds n, halved.
inline std::uint32_t half_bits(std::uint64_t n) {
  std::uint32_t half = 1;
  while (((n - 1) >> half >> half) != 0) half++;
  return half;
}

// The permutation of [0, n) by a Feistel network with cycle walking, its round function tabulated where it can be.
class Permutation {
 public:
  void allocate(std::uint64_t n, std::uint32_t purpose, std::uint32_t stream, std::uint32_t seed_low,
                std::uint32_t seed_high) {
    n_ = n;
    purpose_ = purpose;
    stream_ = stream;
    seed_low_ = seed_low;
    seed_high_ = seed_high;
    half_ = half_bits(n);
    if (half_ > kTabulatedBits) return;
    const std::uint32_t radix = std::uint32_t{1} << half_;
    rounds_.allocate(kFeistelRounds * radix);
    if (rounds_.size() == 0) return;
    for (std::uint32_t at = 0; at < kFeistelRounds * radix; at++) {
      rounds_[at] = static_cast<std::uint16_t>(round_function(at & (radix - 1), at >> half_));
    }
  }

  // Whether no value has to walk: 2^b = n.
  bool whole() const { return n_ == std::uint64_t{1} << (2 * half_); }
  std::uint64_t size() const { return n_; }

  // One pass through the network; the result may be n or more.
  std::uint64_t pass(std::uint64_t x) const {
    std::uint64_t left = x >> half_;
    std::uint64_t right = x & ((std::uint64_t{1} << half_) - 1);
    for (std::uint32_t round = 0; round < kFeistelRounds; round++) {
      const std::uint64_t next = left ^ round_function(right, round);
      left = right;
      right = next;
    }
    return left << half_ | right;
  }

  // The same with the round function from its table.
  NESTWALK_INLINE std::uint64_t tabulated_pass(std::uint64_t x) const {
    const std::uint32_t radix = std::uint32_t{1} << half_;
    const std::uint16_t* rounds = rounds_.data();
    auto left = static_cast<std::uint32_t>(x >> half_);
    std::uint32_t right = static_cast<std::uint32_t>(x) & (radix - 1);
    for (std::uint32_t round = 0; round < kFeistelRounds; round++) {
      const std::uint32_t next = left ^ rounds[round * radix + right];
      left = right;
      right = next;
    }
    return std::uint64_t{left} << half_ | right;
  }

  bool tabulated() const { return rounds_.size() != 0; }

 private:
  std::uint64_t round_function(std::uint64_t right, std::uint32_t round) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
    return philox_word0(static_cast<std::uint32_t>(right), round, stream_, purpose_, seed_low_, seed_high_) & mask;
  }

  std::uint64_t n_ = 1;
  std::uint32_t purpose_ = 0;
  std::uint32_t stream_ = 0;
  std::uint32_t seed_low_ = 0;
  std::uint32_t seed_high_ = 0;
  std::uint32_t half_ = 1;
  Buffer<std::uint16_t> rounds_;
};

}  // namespace nestwalk::NESTWALK_TIER
