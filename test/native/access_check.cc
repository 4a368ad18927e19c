// Prints what the native access generator and Philox give, for test/access.test.ts to compare.
// Compiled once for each tier. Reads commands from standard input, all numbers in decimal:
//   philox c0 c1 c2 c3 k0 k1                 the four words: computed alone, then over lanes
//   permute n purpose stream low high count  the images of 0 to count - 1
//   workload low high                        a block: counts of components, links and tables, then their numbers
//   words from count                         accesses of the block as `page word`, pages of 64 bits, then the writes
//   pages from count                         pages of 32 bits alone, then the writes
//   run from limit                           page and length of the next run, or `none`
//   time from count                          processor nanoseconds an access: pages alone, then pages and words
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "../../native/hardware/access.h"

namespace tier = nestwalk::NESTWALK_TIER;

namespace {

struct Workload {
  std::vector<double> components;
  std::vector<double> links;
  std::vector<std::vector<std::uint32_t>> tables;
  tier::GeneratorScratch scratch;
  tier::AccessGenerator generator;
};

std::uint64_t number() {
  unsigned long long value = 0;
  if (std::scanf("%llu", &value) != 1) std::abort();
  return value;
}

std::uint32_t word() {
  return static_cast<std::uint32_t>(number());
}

std::vector<double> doubles(std::size_t count) {
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(number());
  return values;
}

void print_philox() {
  std::uint32_t in[6];
  for (std::uint32_t& value : in) value = word();
  std::uint32_t out[4];
  tier::philox(in[0], in[1], in[2], in[3], in[4], in[5], out);
  std::printf("%u %u %u %u\n", out[0], out[1], out[2], out[3]);
  std::uint64_t indices[tier::lanes::kBlock];
  for (std::uint64_t& index : indices) index = std::uint64_t{in[1]} << 32 | in[0];
  const tier::PhiloxBlock block = tier::philox_block(indices, in[2], in[3], in[4], in[5]);
  for (const auto* lane : {block.word0, block.word1, block.word2, block.word3}) {
    std::uint64_t values[tier::lanes::kLanes];
    tier::lanes::store(values, lane[tier::lanes::kUnroll - 1]);
    std::printf("%u ", static_cast<std::uint32_t>(values[tier::lanes::kLanes - 1]));
  }
  std::printf("\n");
}

void print_permutation() {
  const std::uint64_t n = number();
  std::uint32_t in[4];
  for (std::uint32_t& value : in) value = word();
  tier::Permutation permutation;
  permutation.allocate(n, in[0], in[1], in[2], in[3]);
  const std::uint64_t count = number();
  for (std::uint64_t x = 0; x < count; x++) {
    std::uint64_t value = x;
    do value = permutation.tabulated() ? permutation.tabulated_pass(value) : permutation.pass(value);
    while (value >= n);
    std::printf("%llu ", static_cast<unsigned long long>(value));
  }
  std::printf("\n");
}

std::unique_ptr<Workload> read_workload() {
  auto workload = std::make_unique<Workload>();
  const std::uint32_t low = word();
  const std::uint32_t high = word();
  const std::uint32_t components = word();
  const std::size_t links = number();
  workload->tables.resize(number());
  workload->components = doubles(components * nestwalk::schema::kComponentSlots);
  workload->links = doubles(links);
  std::vector<const std::uint32_t*> pointers;
  for (auto& table : workload->tables) {
    table.resize(number());
    for (std::uint32_t& value : table) value = word();
    pointers.push_back(table.data());
  }
  if (!workload->generator.init(workload->components.data(), components, workload->links.data(), links, pointers.data(),
                                pointers.size(), low, high) ||
      !workload->generator.use(&workload->scratch)) {
    std::abort();
  }
  return workload;
}

void print_words(tier::AccessGenerator& generator) {
  const std::uint64_t from = number();
  const std::uint32_t count = word();
  std::vector<std::uint64_t> pages(count);
  std::vector<std::uint16_t> words(count);
  const std::uint64_t writes = generator.fill<tier::Need::kWords>(from, count, pages.data(), words.data());
  for (std::uint32_t k = 0; k < count; k++) {
    std::printf("%llu %u ", static_cast<unsigned long long>(pages[k]), words[k]);
  }
  std::printf("%llu\n", static_cast<unsigned long long>(writes));
}

void print_pages(tier::AccessGenerator& generator) {
  const std::uint64_t from = number();
  const std::uint32_t count = word();
  std::vector<std::uint32_t> pages(count);
  const std::uint64_t writes = generator.fill<tier::Need::kPages>(from, count, pages.data(), nullptr);
  for (const std::uint32_t page : pages) std::printf("%u ", page);
  std::printf("%llu\n", static_cast<unsigned long long>(writes));
}

void print_run(tier::AccessGenerator& generator) {
  const std::uint64_t from = number();
  const std::uint64_t limit = number();
  std::uint64_t page = 0;
  std::uint64_t length = 0;
  if (generator.next_run(from, limit, page, length)) {
    std::printf("%llu %llu\n", static_cast<unsigned long long>(page), static_cast<unsigned long long>(length));
  } else {
    std::printf("none\n");
  }
}

template <tier::Need kNeed>
double nanoseconds(tier::AccessGenerator& generator, std::uint64_t from, std::uint64_t count) {
  constexpr std::uint32_t kSize = 1024;
  static std::uint32_t pages[kSize];
  static std::uint16_t words[kSize];
  const std::clock_t start = std::clock();
  for (std::uint64_t done = 0; done < count; done += kSize) generator.fill<kNeed>(from + done, kSize, pages, words);
  return static_cast<double>(std::clock() - start) * (1e9 / CLOCKS_PER_SEC) / static_cast<double>(count);
}

void print_time(tier::AccessGenerator& generator) {
  const std::uint64_t from = number();
  const std::uint64_t count = number();
  const double pages = nanoseconds<tier::Need::kPages>(generator, from, count);
  std::printf("%.2f %.2f\n", pages, nanoseconds<tier::Need::kWords>(generator, from, count));
}

}  // namespace

int main() {
  std::unique_ptr<Workload> workload;
  char command[16];
  while (std::scanf("%15s", command) == 1) {
    if (std::strcmp(command, "philox") == 0)
      print_philox();
    else if (std::strcmp(command, "permute") == 0)
      print_permutation();
    else if (std::strcmp(command, "workload") == 0)
      workload = read_workload();
    else if (std::strcmp(command, "words") == 0 && workload)
      print_words(workload->generator);
    else if (std::strcmp(command, "pages") == 0 && workload)
      print_pages(workload->generator);
    else if (std::strcmp(command, "run") == 0 && workload)
      print_run(workload->generator);
    else if (std::strcmp(command, "time") == 0 && workload)
      print_time(workload->generator);
    else
      return 2;
  }
  return 0;
}
