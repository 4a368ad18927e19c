// Touches pages of data and of code in ways that are known, for test/independentCachegrind.test.ts. Without a C library
// and with every access aligned, so that no access crosses a page and nothing depends on the system but this text.
// Compiled for Linux on x86-64: g++ -O1 -static -nostdlib -fno-pic -no-pie.
#include <cstdint>
#include <utility>

namespace {

// More than an STLB of 2048 entries covers.
constexpr std::uint64_t kPages = 3000;
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kWords = kPageBytes / sizeof(std::uint64_t);
// More pages of code than an L1 of 16 or 64 entries and 4 ways keeps beside each other.
constexpr int kSteps = 96;

alignas(kPageBytes) std::uint64_t table[kPages * kWords];

using Step = std::uint64_t (*)(std::uint64_t* word);

// One function a page of code. It reads, writes, or reads and writes a word.
template <int kNumber>
__attribute__((noinline, aligned(4096))) std::uint64_t step(std::uint64_t* word) {
  if constexpr (kNumber % 3 == 0) return *word + kNumber;
  if constexpr (kNumber % 3 == 1) {
    *word = kNumber;
    return kNumber;
  }
  *word += kNumber;
  return kNumber;
}

template <int... kNumbers>
std::uint64_t call(std::uint64_t number, std::uint64_t* word, std::integer_sequence<int, kNumbers...>) {
  static constexpr Step kFunctions[] = {step<kNumbers>...};
  return kFunctions[number](word);
}

std::uint64_t run(std::uint64_t number, std::uint64_t page, std::uint64_t word) {
  return call(number % kSteps, &table[(page % kPages) * kWords + word % kWords],
              std::make_integer_sequence<int, kSteps>());
}

std::uint64_t touch() {
  std::uint64_t sum = 0;
  // In order, twice: the second time the STLB has lost what it had the first time.
  for (std::uint64_t i = 0; i < 2 * kPages; i++) sum += run(0, i, i) + run(1, i, i + 1);
  // Pages that fall into one set: of 16, of 128.
  for (std::uint64_t i = 0; i < 4000; i++) sum += run(i / 5, 16 * (i % 7), i);
  for (std::uint64_t i = 0; i < 4000; i++) sum += run(i / 3, 128 * (i % 19), i);
  // At random, with a hot tenth; the generator is that of Park and Miller.
  std::uint64_t random = 1;
  for (int i = 0; i < 20000; i++) {
    random = random * 16807 % 2147483647;
    const std::uint64_t span = random % 4 == 0 ? kPages : kPages / 10;
    sum += run(random / 4 % (random % 8 < 5 ? 6 : kSteps), random / 512 % span, random / 8);
  }
  return sum;
}

}  // namespace

extern "C" __attribute__((force_align_arg_pointer, noreturn)) void _start() {
  const std::uint64_t sum = touch();
  // exit(0), with the sum kept alive.
  asm volatile("syscall" : : "a"(60), "D"(sum & 0) : "rcx", "r11", "memory");
  __builtin_unreachable();
}
