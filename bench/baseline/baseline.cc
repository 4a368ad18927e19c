// The yardstick of the benchmarks: the machine that nestwalk simulates, written plainly, as one writes it in
// an afternoon. Every structure is a vector of {tag, last use} that is scanned from way 0; the least recently
// used way is the victim. There are no page tables in memory: with everything mapped in ascending order, the
// frame of each page and the place of each table follow by arithmetic. No cleverness, no hand-written SIMD;
// g++ -O3.
//
// It counts what nestwalk counts: on the same stream every counter printed here equals nestwalk's, which
// bench/run.ts checks before it measures anything. Only 4 KiB pages, four levels, prefaulted and contiguous.
//
//   yardstick --mode tlb|1d|2d --stream uniform|zipf|sequential --bytes N --accesses N
//             [--seed N] [--full] [--bare] [--caches] [--clustered] [--theta X] [--dump]
//
//   --full       paging-structure caches and nested TLB fully associative
//   --bare       no paging-structure caches and no nested TLB
//   --caches     three caches that the page-table entries are read through
//   --clustered  zipf: rank = page, instead of ranks scattered by a permutation
//   --dump       print the stream, one line an access, and simulate nothing

#include <array>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int kLevels = 4;
constexpr u64 kPagesOfGigabyte = u64{1} << 18;  // 4 KiB pages
constexpr u64 kRegionBase = u64{1} << 40;       // guest-virtual address of the only region

// ----------------------------------------------------------------------------------------------
// Philox4x32-10

struct Words {
  u32 w0, w1, w2, w3;
};

/// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
Words philox(Words counter, u32 key0, u32 key1) {
  for (int round = 0; round < 10; ++round) {
    const u64 product0 = u64{0xD2511F53} * counter.w0;
    const u64 product1 = u64{0xCD9E8D57} * counter.w2;
    counter = {static_cast<u32>(product1 >> 32) ^ counter.w1 ^ key0, static_cast<u32>(product1),
               static_cast<u32>(product0 >> 32) ^ counter.w3 ^ key1, static_cast<u32>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

/// Draws of one seed for stream 0, the only component of these workloads.
struct Random {
  u32 seedLow = 0;
  u32 seedHigh = 0;

  Words access(u64 index) const {
    return philox({static_cast<u32>(index), static_cast<u32>(index >> 32), 0, 0}, seedLow, seedHigh);
  }
  u32 rankRound(u32 half, u32 round) const { return philox({half, round, 0, 4}, seedLow, seedHigh).w0; }
};

/// A number below n: the high half of the 64-bit product.
u64 below(u32 word, u64 n) {
  return (word * n) >> 32;
}

u64 offsetOf(u32 word) {
  return 8 * (word >> 23);
}

// --------------------------------------------------------------------------------------------------- Streams
// Each gives the address of access i, counted from the start of the region; all accesses are reads.

class UniformStream {
 public:
  UniformStream(Random random, u64 pages) : random_(random), pages_(pages) {}
  u64 next() {
    const Words w = random_.access(index_++);
    return 4096 * below(w.w0, pages_) + offsetOf(w.w3);
  }

 private:
  Random random_;
  u64 pages_;
  u64 index_ = 0;
};

class SequentialStream {
 public:
  explicit SequentialStream(u64 bytes) : bytes_(bytes) {}
  u64 next() {
    const u64 address = address_;
    address_ += 64;
    if (address_ == bytes_) address_ = 0;
    return address;
  }

 private:
  u64 bytes_;
  u64 address_ = 0;
};

/// Zipf by Walker's alias method (the table exactly as docs/model.md has it), ranks scattered over the pages.
class ZipfStream {
 public:
  ZipfStream(Random random, u64 pages, double theta, bool clustered) : random_(random), pages_(pages) {
    buildAliasTable(theta);
    pageOfRank_.resize(pages);
    for (u64 rank = 0; rank < pages; ++rank) {
      pageOfRank_[rank] = static_cast<u32>(clustered ? rank : scatter(rank));
    }
  }

  u64 next() {
    const Words w = random_.access(index_++);
    const u64 column = below(w.w0, pages_);
    const u64 rank = w.w1 < threshold_[column] ? column : alias_[column];
    return 4096 * u64{pageOfRank_[rank]} + offsetOf(w.w3);
  }

 private:
  void buildAliasTable(double theta) {
    const u64 t = static_cast<u64>(std::floor(theta * 16777216.0 + 0.5));
    std::vector<double> mass(pages_);
    double total = 0;
    for (u64 r = 0; r < pages_; ++r) {
      mass[r] = 1 / power(static_cast<double>(r + 1), t);
      total += mass[r];
    }
    std::deque<u64> small, large;
    for (u64 r = 0; r < pages_; ++r) {
      mass[r] = mass[r] * static_cast<double>(pages_) / total;
      (mass[r] < 1 ? small : large).push_back(r);
    }
    threshold_.assign(pages_, 0xFFFFFFFF);
    alias_.resize(pages_);
    for (u64 r = 0; r < pages_; ++r) alias_[r] = static_cast<u32>(r);
    while (!small.empty() && !large.empty()) {
      const u64 j = small.front();
      const u64 g = large.front();
      small.pop_front();
      threshold_[j] = static_cast<u32>(std::floor(mass[j] * 4294967296.0));
      alias_[j] = static_cast<u32>(g);
      mass[g] = (mass[g] + mass[j]) - 1;
      if (mass[g] < 1) {
        large.pop_front();
        small.push_back(g);
      }
    }
  }

  /// x to the power t / 2^24, by square roots of doubles alone.
  static double power(double x, u64 t) {
    double p = 1;
    for (u64 whole = t >> 24; whole > 0; --whole) p *= x;
    double s = x;
    for (int bit = 23; bit >= 0; --bit) {
      s = std::sqrt(s);
      if ((t >> bit) & 1) p *= s;
    }
    return p;
  }

  /// A permutation of [0, pages): four Feistel rounds, repeated while the result lies outside.
  u64 scatter(u64 rank) const {
    int bits = 2;
    while ((u64{1} << bits) < pages_) bits += 2;
    const u64 mask = (u64{1} << (bits / 2)) - 1;
    do {
      u64 left = rank >> (bits / 2);
      u64 right = rank & mask;
      for (u32 round = 0; round < 4; ++round) {
        const u64 mixed = left ^ (random_.rankRound(static_cast<u32>(right), round) & mask);
        left = right;
        right = mixed;
      }
      rank = left << (bits / 2) | right;
    } while (rank >= pages_);
    return rank;
  }

  Random random_;
  u64 pages_;
  u64 index_ = 0;
  std::vector<u32> threshold_, alias_, pageOfRank_;
};

// ------------------------------------------------------------------------------------------------ Structures

struct Entry {
  u64 tag = ~u64{0};
  u64 lastUse = 0;  // 0: never used, so invalid ways are filled first, lowest first
};

/// A set-associative array with LRU replacement.
class LruArray {
 public:
  LruArray(u64 entries, u64 ways) : ways_(ways), sets_(entries / ways), entries_(entries) {}

  /// Looks a key up. A hit is promoted; on a miss the key takes the place of the set's LRU entry.
  bool access(u64 key) {
    if (entries_.empty()) return false;
    Entry* set = &entries_[(key & (sets_ - 1)) * ways_];
    return accessSet(set, key);
  }

  /// The same for a number of sets that need not be a power of two.
  bool accessModulo(u64 key) { return accessSet(&entries_[key % sets_ * ways_], key); }

 private:
  bool accessSet(Entry* set, u64 key) {
    Entry* victim = set;
    for (u64 way = 0; way < ways_; ++way) {
      if (set[way].tag == key) {
        set[way].lastUse = ++clock_;
        return true;
      }
      if (set[way].lastUse < victim->lastUse) victim = &set[way];
    }
    victim->tag = key;
    victim->lastUse = ++clock_;
    return false;
  }

  u64 ways_;
  u64 sets_;
  u64 clock_ = 0;
  std::vector<Entry> entries_;
};

/// Where the tables of a contiguously mapped address space lie. The table zone holds the root, the only
/// level-3 table, and then, as ascending pages first need them, each level-2 table before its level-1 tables.
class TableLayout {
 public:
  /// `zone`: first frame of the zone. Pages [0, pages) are mapped, then those from `second` on.
  TableLayout(u64 zone, u64 pages, u64 second) : zone_(zone), second_(second) {
    tablesBeforeSecond_ = 2 + (pages + 511) / 512 + (pages + kPagesOfGigabyte - 1) / kPagesOfGigabyte;
  }

  /// Frame of the table of a level that maps a page, numbered from the start of the mapped space.
  u64 frame(int level, u64 page) const {
    if (level >= 3) return zone_ + (kLevels - level);
    u64 before = 2;
    if (page >= second_) {
      before = tablesBeforeSecond_;
      page -= second_;
    }
    const u64 gigabyte = page >> 18;
    if (level == 2) return zone_ + before + gigabyte * 513;
    return zone_ + before + gigabyte + 1 + (page >> 9);
  }

  u64 tablesOfFirst() const { return tablesBeforeSecond_; }

 private:
  u64 zone_;
  u64 second_;
  u64 tablesBeforeSecond_;
};

u64 roundToGigabyte(u64 pages) {
  return (pages + kPagesOfGigabyte - 1) / kPagesOfGigabyte * kPagesOfGigabyte;
}

// -------------------------------------------------------------------------------------------------- Counters

constexpr int kRowGpa = 0;       // rows: the data page's GPA, then guest levels 1 to 4
constexpr int kColumnGuest = 0;  // columns: the guest entry, then (nested or only) levels 1 to 4
constexpr int kCaches = 3;
const std::array<const char*, kCaches + 1> kServedBy = {"L1", "L2", "LLC", "memory"};

struct Counters {
  u64 accesses = 0;
  u64 l1Hits = 0, l1Misses = 0, stlbHits = 0, stlbMisses = 0, walks = 0;
  u64 refs[kLevels + 1][kLevels + 1] = {};  // 1-D: row 0
  u64 pscHits[kLevels + 1] = {}, nestedPscHits[kLevels + 1] = {};
  u64 ntlbHits[kLevels + 1] = {}, ntlbMisses[kLevels + 1] = {};
  u64 refHits[2][kCaches + 1] = {};  // guest, nested
};

// ------------------------------------------------------------------------------------------------ The
// machine

enum class Mode { kTlb, kOneDimension, kTwoDimensions };

struct Options {
  Mode mode = Mode::kTwoDimensions;
  std::string modeName = "2d", stream = "uniform";
  u64 bytes = u64{1} << 30;
  u64 accesses = 1000000;
  u64 seed = 1;
  double theta = 0.99;
  bool full = false, bare = false, caches = false, clustered = false, dump = false;
};

/// The caches of non-leaf entries of one dimension: levels 2, 3 and 4.
class PagingStructureCaches {
 public:
  PagingStructureCaches(bool bare, bool full)
      : level2_(bare ? 0 : 32, full ? 32 : 4), level3_(bare ? 0 : 4, 4), level4_(bare ? 0 : 2, 2) {}

  /// Level at which the walk for a page starts: below the first hit, else at the root. What missed is filled
  /// now; the walk passes those levels in any case and nothing looks here in between.
  int startLevel(u64 page, u64* hits) {
    if (level2_.access(page >> 9)) return ++hits[2], 1;
    if (level3_.access(page >> 18)) return ++hits[3], 2;
    if (level4_.access(page >> 27)) return ++hits[4], 3;
    return kLevels;
  }

 private:
  LruArray level2_, level3_, level4_;
};

class Machine {
 public:
  explicit Machine(const Options& options)
      : mode_(options.mode),
        hasCaches_(options.caches),
        pages_(options.bytes / 4096),
        tableZone_(roundToGigabyte(pages_)),
        table_(tableZone_, pages_, ~u64{0}),
        nestedTable_(roundToGigabyte(pages_ + table_.tablesOfFirst()), pages_, tableZone_),
        l1_(64, 4),
        stlb_(1536, 12),
        psc_(options.bare, options.full),
        nestedPsc_(options.bare, options.full),
        nestedTlb_(options.bare ? 0 : 64, options.full ? 64 : 4),
        caches_{LruArray(32 * 1024 / 64, 8), LruArray(1024 * 1024 / 64, 16), LruArray(32 * 1024 * 1024 / 64, 16)} {}

  void access(u64 address) {
    const u64 page = address >> 12;
    ++counters.accesses;
    if (l1_.access(page)) {
      ++counters.l1Hits;
      return;
    }
    ++counters.l1Misses;
    if (stlb_.access(page)) {
      ++counters.stlbHits;
      return;
    }
    ++counters.stlbMisses;
    ++counters.walks;
    if (mode_ == Mode::kOneDimension) walkOneDimension(page);
    if (mode_ == Mode::kTwoDimensions) walkTwoDimensions(page);
  }

  Counters counters;

 private:
  void walkOneDimension(u64 page) {
    const int start = psc_.startLevel(page, counters.pscHits);
    for (int level = start; level >= 1; --level) {
      ++counters.refs[0][level];
      if (hasCaches_) reference(0, entryAddress(table_.frame(level, page - kRegionBase / 4096), level, page));
    }
  }

  void walkTwoDimensions(u64 page) {
    const u64 dataPage = page - kRegionBase / 4096;  // guest-physical: the k-th page has the k-th frame
    const int start = psc_.startLevel(page, counters.pscHits);
    bool hostAddressKnown = start < kLevels;
    for (int level = start; level >= 1; --level) {
      const u64 tablePage = table_.frame(level, dataPage);
      if (!hostAddressKnown) nested(tablePage, level);
      hostAddressKnown = false;
      ++counters.refs[level][kColumnGuest];
      if (hasCaches_) reference(0, entryAddress(hostFrame(tablePage), level, page));
    }
    nested(dataPage, kRowGpa);
  }

  /// Translates a guest-physical page.
  void nested(u64 page, int row) {
    if (nestedTlb_.access(page)) {
      ++counters.ntlbHits[row];
      return;
    }
    ++counters.ntlbMisses[row];
    const int start = nestedPsc_.startLevel(page, counters.nestedPscHits);
    for (int level = start; level >= 1; --level) {
      ++counters.refs[row][level];
      if (hasCaches_) reference(1, entryAddress(nestedTable_.frame(level, page), level, page));
    }
  }

  /// Host frame of a guest frame: data first, then the guest's tables.
  u64 hostFrame(u64 page) const { return page < tableZone_ ? page : pages_ + (page - tableZone_); }

  static u64 entryAddress(u64 tableFrame, int level, u64 page) {
    return tableFrame * 4096 + 8 * ((page >> (9 * (level - 1))) & 511);
  }

  /// One reference to a page-table entry, through the caches.
  void reference(int dimension, u64 address) {
    int level = 0;
    while (level < kCaches && !caches_[level].accessModulo(address / 64)) ++level;
    ++counters.refHits[dimension][level];
  }

  Mode mode_;
  bool hasCaches_;
  u64 pages_;
  u64 tableZone_;
  TableLayout table_, nestedTable_;
  LruArray l1_, stlb_;
  PagingStructureCaches psc_, nestedPsc_;
  LruArray nestedTlb_;
  std::array<LruArray, kCaches> caches_;
};

// ------------------------------------------------------------------------------------------- Running,
// printing

template <class Stream>
double simulate(Machine& machine, Stream stream, u64 accesses) {
  const auto begin = std::chrono::steady_clock::now();
  for (u64 i = 0; i < accesses; ++i) machine.access(kRegionBase + stream.next());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <class Stream>
void dump(Stream stream, u64 accesses) {
  for (u64 i = 0; i < accesses; ++i) std::printf("R 0x%" PRIx64 "\n", kRegionBase + stream.next());
}

const char* rowName(int row) {
  static const std::array<const char*, kLevels + 1> names = {"gPA", "gL1", "gL2", "gL3", "gL4"};
  return names[row];
}

void printRow(const char* name, const u64* row, const char* prefix, bool guestColumn) {
  std::printf("\"%s\":{", name);
  for (int level = kLevels; level >= 1; --level) {
    std::printf("\"%s%d\":%" PRIu64 "%s", prefix, level, row[level], level > 1 ? "," : "");
  }
  if (guestColumn) std::printf(",\"g\":%" PRIu64, row[kColumnGuest]);
  std::printf("}");
}

void printLevels(const char* name, const u64* values) {
  std::printf(",\"%s\":{\"2\":%" PRIu64 ",\"3\":%" PRIu64 ",\"4\":%" PRIu64 "}", name, values[2], values[3], values[4]);
}

void printRows(const char* name, const u64* values) {
  std::printf(",\"%s\":{", name);
  for (int row = kLevels; row >= 0; --row) {
    std::printf("\"%s\":%" PRIu64 "%s", rowName(row), values[row], row > 0 ? "," : "}");
  }
}

void printServed(const char* name, const u64* values, int first) {
  std::printf("\"%s\":{", name);
  for (int level = first; level <= kCaches; ++level) {
    std::printf("\"%s\":%" PRIu64 "%s", kServedBy[level], values[level], level < kCaches ? "," : "}");
  }
}

/// Where the references were served: without caches, all of them by memory.
void printRefHits(Counters c, const Options& options) {
  if (!options.caches) {
    for (int row = 0; row <= kLevels; ++row) {
      c.refHits[0][kCaches] += c.refs[row][kColumnGuest];
      const int dimension = options.mode == Mode::kOneDimension ? 0 : 1;
      for (int level = 1; level <= kLevels; ++level) c.refHits[dimension][kCaches] += c.refs[row][level];
    }
  }
  const int first = options.caches ? 0 : kCaches;
  std::printf(",\"refHits\":{");
  printServed("guest", c.refHits[0], first);
  std::printf(",");
  printServed("nested", c.refHits[1], first);
  std::printf("}");
}

/// Counters under the names and in the shape of nestwalk's results.
void printCounters(const Counters& c, const Options& options) {
  std::printf("{\"accesses\":%" PRIu64 ",\"reads\":%" PRIu64, c.accesses, c.accesses);
  std::printf(",\"l1Hits\":{\"4KiB\":%" PRIu64 "},\"l1Misses\":%" PRIu64, c.l1Hits, c.l1Misses);
  std::printf(",\"stlbHits\":{\"4KiB\":%" PRIu64 "},\"stlbMisses\":%" PRIu64, c.stlbHits, c.stlbMisses);
  std::printf(",\"walks\":%" PRIu64, c.walks);
  if (options.mode != Mode::kTlb) {
    printLevels("pscHits", c.pscHits);
    std::printf(",\"refs\":{");
    if (options.mode == Mode::kOneDimension) printRow("pt", c.refs[0], "L", false);
    if (options.mode == Mode::kTwoDimensions) {
      for (int row = kLevels; row >= 0; --row) {
        printRow(rowName(row), c.refs[row], "nL", row != kRowGpa);
        if (row > 0) std::printf(",");
      }
    }
    std::printf("}");
  }
  if (options.mode == Mode::kTwoDimensions) {
    printLevels("nestedPscHits", c.nestedPscHits);
    if (!options.bare) {
      printRows("ntlbHits", c.ntlbHits);
      printRows("ntlbMisses", c.ntlbMisses);
    }
  }
  if (options.mode != Mode::kTlb) printRefHits(c, options);
  std::printf("}");
}

template <class Stream>
int run(const Options& options, Stream stream) {
  if (options.dump) {
    dump(std::move(stream), options.accesses);
    return 0;
  }
  Machine machine(options);
  const double seconds = simulate(machine, std::move(stream), options.accesses);
  std::printf("{\"mode\":\"%s\",\"stream\":\"%s\",\"bytes\":%" PRIu64 ",\"seconds\":%.9f,\"accessesPerSecond\":%.1f",
              options.modeName.c_str(), options.stream.c_str(), options.bytes, seconds,
              static_cast<double>(options.accesses) / seconds);
  std::printf(",\"counters\":");
  printCounters(machine.counters, options);
  std::printf("}\n");
  return 0;
}

u64 parseNumber(const std::string& name, const std::string& text) {
  std::size_t parsed = 0;
  u64 number = 0;
  try {
    number = std::stoull(text, &parsed, 0);
  } catch (const std::exception&) {
    parsed = 0;
  }
  if (parsed == 0 || parsed != text.size()) throw std::invalid_argument(name + " " + text + " is no whole number");
  return number;
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == count) throw std::invalid_argument(name + " needs a value");
      return arguments[++i];
    };
    if (name == "--mode")
      options.modeName = value();
    else if (name == "--stream")
      options.stream = value();
    else if (name == "--bytes")
      options.bytes = parseNumber(name, value());
    else if (name == "--accesses")
      options.accesses = parseNumber(name, value());
    else if (name == "--seed")
      options.seed = parseNumber(name, value());
    else if (name == "--theta")
      options.theta = std::stod(value());
    else if (name == "--full")
      options.full = true;
    else if (name == "--bare")
      options.bare = true;
    else if (name == "--caches")
      options.caches = true;
    else if (name == "--clustered")
      options.clustered = true;
    else if (name == "--dump")
      options.dump = true;
    else
      throw std::invalid_argument("unknown option " + name);
  }
  if (options.modeName == "tlb")
    options.mode = Mode::kTlb;
  else if (options.modeName == "1d")
    options.mode = Mode::kOneDimension;
  else if (options.modeName == "2d")
    options.mode = Mode::kTwoDimensions;
  else
    throw std::invalid_argument("--mode is tlb, 1d or 2d");
  if (options.bytes % 4096 != 0 || options.bytes == 0 || options.bytes > u64{1} << 38) {
    throw std::invalid_argument("--bytes is a multiple of 4096, at most 256 GiB");
  }
  return options;
}

int dispatch(const Options& options) {
  const Random random{static_cast<u32>(options.seed), static_cast<u32>(options.seed >> 32)};
  const u64 pages = options.bytes / 4096;
  if (options.stream == "uniform") return run(options, UniformStream(random, pages));
  if (options.stream == "sequential") return run(options, SequentialStream(options.bytes));
  if (options.stream == "zipf") return run(options, ZipfStream(random, pages, options.theta, options.clustered));
  throw std::invalid_argument("--stream is uniform, zipf or sequential");
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return dispatch(parse(count, arguments));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "yardstick: %s\n", error.what());
    return 2;
  }
}
