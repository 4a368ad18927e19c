// Generated from src/schema.ts by `npm run schema`. Do not edit: `npm run schema:check` compares.
// clang-format off
#pragma once

#include <cstddef>
#include <cstdint>

namespace nestwalk::schema {

// Digest of the definition; the loader refuses an addon that carries another.
inline constexpr char kFingerprint[] = "65deaf07c6b20983";
static_assert(sizeof kFingerprint == 17, "16 hexadecimal digits");

// Page sizes: a page-size index is an index into these lists.
inline constexpr std::size_t kPageSizes = 3;
inline constexpr const char* kPageSizeNames[] = {"4KiB", "2MiB", "1GiB"};
inline constexpr unsigned kPageShift[] = {12, 21, 30};
inline constexpr std::uint64_t kPageBytes[] = {4096, 2097152, 1073741824};
static_assert(kPageBytes[0] == std::uint64_t{1} << kPageShift[0]);
static_assert(kPageBytes[1] == std::uint64_t{1} << kPageShift[1]);
static_assert(kPageBytes[2] == std::uint64_t{1} << kPageShift[2]);

// Page tables.
inline constexpr std::size_t kMinTableLevels = 2;
inline constexpr std::size_t kMaxTableLevels = 5;
inline constexpr std::size_t kEntriesPerTable = 512;
static_assert(kEntriesPerTable * 8 == kPageBytes[0], "a table is one 4 KiB page of 8-byte entries");
inline constexpr std::size_t kMaxCaches = 7;

// Bits of an entry; all lie in its low half.
inline constexpr std::uint32_t kEntryPresent = 1;
inline constexpr std::uint32_t kEntryWritable = 2;
inline constexpr std::uint32_t kEntryUser = 4;
inline constexpr std::uint32_t kEntryAccessed = 32;
inline constexpr std::uint32_t kEntryDirty = 64;
inline constexpr std::uint32_t kEntryPageSize = 128;

// The reference matrix: position = row * kColumns + column.
inline constexpr std::size_t kRows = 7;
inline constexpr std::size_t kColumns = 6;
inline constexpr std::size_t kPositions = 42;
inline constexpr const char* kRowNames[] = {"pt", "gL5", "gL4", "gL3", "gL2", "gL1", "gPA"};
inline constexpr const char* kColumnNames[] = {"nL5", "nL4", "nL3", "nL2", "nL1", "g"};
inline constexpr std::size_t kRowPt = 0;
inline constexpr std::size_t kRowGpa = 6;
inline constexpr std::size_t kColumnG = 5;
constexpr std::size_t row_of_guest_level(std::size_t level) { return 6 - level; }
constexpr std::size_t column_of_level(std::size_t level) { return 5 - level; }
static_assert(row_of_guest_level(1) == 5);
static_assert(column_of_level(1) == 4);
static_assert(row_of_guest_level(5) == 1);
static_assert(column_of_level(5) == 0);
static_assert(kPositions == kRows * kColumns);
static_assert(kRowGpa == kRows - 1 && kColumnG == kColumns - 1);

// What an access does: bits 12 and 13 of its word.
enum class AccessKind : std::uint8_t {
  kRead = 0,
  kWrite = 1,
  kFetch = 2,
};
inline constexpr std::size_t kAccessKindCount = 3;

inline constexpr unsigned kKindShift = 12;
static_assert(kKindShift == kPageShift[0], "the offset in a 4 KiB page fills the bits below the kind");

// Replacement policies.
enum class Replacement : std::uint8_t {
  kLru = 0,
  kFifo = 1,
  kPlru = 2,
  kNru = 3,
  kSrrip = 4,
  kRandom = 5,
};
inline constexpr std::size_t kReplacementCount = 6;

// How a TLB array picks the set of a page.
enum class Indexing : std::uint8_t {
  kLow = 0,
  kXor = 1,
};
inline constexpr std::size_t kIndexingCount = 2;

// What a nested TLB holds.
enum class NtlbHolds : std::uint8_t {
  kAll = 0,
  kTables = 1,
};
inline constexpr std::size_t kNtlbHoldsCount = 2;

// What a page-walk cache holds.
enum class PwcHolds : std::uint8_t {
  k1d = 0,
  k2d = 1,
  k2dNt = 2,
};
inline constexpr std::size_t kPwcHoldsCount = 3;

// Philox purposes: the last word of the counter.
enum class Purpose : std::uint8_t {
  kAccess = 0,
  kGuestPlacement = 1,
  kHostPlacement = 2,
  kReplacement = 3,
  kRankPermutation = 4,
  kChase = 5,
  kLookupKey = 6,
  kMixture = 7,
};
inline constexpr std::size_t kPurposeCount = 8;

// Access patterns.
enum class Pattern : std::uint8_t {
  kUniform = 0,
  kStride = 1,
  kZipf = 2,
  kChase = 3,
  kHotcold = 4,
  kWindow = 5,
  kBtree = 6,
  kBurst = 7,
  kMix = 8,
  kPhases = 9,
  kInterleave = 10,
};
inline constexpr std::size_t kPatternCount = 11;

// Why a stream stopped.
enum class RunStatus : std::uint8_t {
  kDone = 0,
  kGuestFault = 1,
  kNestedViolation = 2,
  kCorruptTable = 3,
  kNotStatic = 4,
};
inline constexpr std::size_t kRunStatusCount = 5;

// Counter block: doubles holding integers.
inline constexpr std::size_t kCounterAccesses = 0;
inline constexpr std::size_t kCounterReads = 1;
inline constexpr std::size_t kCounterWrites = 2;
inline constexpr std::size_t kCounterFetches = 3;
inline constexpr std::size_t kCounterL1Hits = 4;
inline constexpr std::size_t kCounterL1HitsSlots = 3;
inline constexpr std::size_t kCounterL1Misses = 7;
inline constexpr std::size_t kCounterL1iHits = 8;
inline constexpr std::size_t kCounterL1iHitsSlots = 3;
inline constexpr std::size_t kCounterL1iMisses = 11;
inline constexpr std::size_t kCounterStlbHits = 12;
inline constexpr std::size_t kCounterStlbHitsSlots = 3;
inline constexpr std::size_t kCounterStlbMisses = 15;
inline constexpr std::size_t kCounterWalks = 16;
inline constexpr std::size_t kCounterDirtyWalks = 17;
inline constexpr std::size_t kCounterRefs = 18;
inline constexpr std::size_t kCounterRefsSlots = 42;
inline constexpr std::size_t kCounterFaultRefs = 60;
inline constexpr std::size_t kCounterFaultRefsSlots = 42;
inline constexpr std::size_t kCounterPscHits = 102;
inline constexpr std::size_t kCounterPscHitsSlots = 4;
inline constexpr std::size_t kCounterNestedPscHits = 106;
inline constexpr std::size_t kCounterNestedPscHitsSlots = 4;
inline constexpr std::size_t kCounterNtlbHits = 110;
inline constexpr std::size_t kCounterNtlbHitsSlots = 7;
inline constexpr std::size_t kCounterNtlbMisses = 117;
inline constexpr std::size_t kCounterNtlbMissesSlots = 7;
inline constexpr std::size_t kCounterPwcHits = 124;
inline constexpr std::size_t kCounterPwcHitsSlots = 42;
inline constexpr std::size_t kCounterPwcMisses = 166;
inline constexpr std::size_t kCounterPwcMissesSlots = 42;
inline constexpr std::size_t kCounterRefHits = 208;
inline constexpr std::size_t kCounterRefHitsSlots = 16;
inline constexpr std::size_t kCounterDataHits = 224;
inline constexpr std::size_t kCounterDataHitsSlots = 8;
inline constexpr std::size_t kCounterGuestFaults = 232;
inline constexpr std::size_t kCounterNestedViolations = 233;
inline constexpr std::size_t kCounterSlots = 234;
static_assert(kCounterNestedViolations + 1 == kCounterSlots, "the last field must end the block");

static_assert(kCounterRefsSlots == kPositions && kCounterFaultRefsSlots == kPositions);
static_assert(kCounterPwcHitsSlots == kPositions && kCounterPwcMissesSlots == kPositions);
static_assert(kCounterNtlbHitsSlots == kRows && kCounterNtlbMissesSlots == kRows);
static_assert(kCounterRefHitsSlots == 2 * (kMaxCaches + 1) && kCounterDataHitsSlots == kMaxCaches + 1);

inline constexpr std::size_t kArraysPerSide = 3;
inline constexpr std::size_t kArraySlots = 5;
inline constexpr std::size_t kCacheSlots = 3;
// Machine block: doubles; 0 stands for "none".
inline constexpr std::size_t kMachineNested = 0;
inline constexpr std::size_t kMachineGuestLevels = 1;
inline constexpr std::size_t kMachineNestedLevels = 2;
inline constexpr std::size_t kMachineNestedAD = 3;
inline constexpr std::size_t kMachineDataThroughCaches = 4;
inline constexpr std::size_t kMachineStaticRun = 5;
inline constexpr std::size_t kMachineUnique = 6;
inline constexpr std::size_t kMachineReuse = 7;
inline constexpr std::size_t kMachineSeedLow = 8;
inline constexpr std::size_t kMachineSeedHigh = 9;
inline constexpr std::size_t kMachineL1dCount = 10;
inline constexpr std::size_t kMachineL1iCount = 11;
inline constexpr std::size_t kMachineStlbCount = 12;
inline constexpr std::size_t kMachineL1d = 13;
inline constexpr std::size_t kMachineL1dSlots = 15;
inline constexpr std::size_t kMachineL1i = 28;
inline constexpr std::size_t kMachineL1iSlots = 15;
inline constexpr std::size_t kMachineStlb = 43;
inline constexpr std::size_t kMachineStlbSlots = 15;
inline constexpr std::size_t kMachinePsc = 58;
inline constexpr std::size_t kMachinePscSlots = 8;
inline constexpr std::size_t kMachineNestedPsc = 66;
inline constexpr std::size_t kMachineNestedPscSlots = 8;
inline constexpr std::size_t kMachineNtlbEntries = 74;
inline constexpr std::size_t kMachineNtlbWays = 75;
inline constexpr std::size_t kMachineNtlbHolds = 76;
inline constexpr std::size_t kMachinePwcEntries = 77;
inline constexpr std::size_t kMachinePwcWays = 78;
inline constexpr std::size_t kMachinePwcHolds = 79;
inline constexpr std::size_t kMachineCacheCount = 80;
inline constexpr std::size_t kMachineCaches = 81;
inline constexpr std::size_t kMachineCachesSlots = 21;
inline constexpr std::size_t kMachinePageBound = 102;
inline constexpr std::size_t kMachineGuestFrameBound = 103;
inline constexpr std::size_t kMachineHostFrameBound = 104;
inline constexpr std::size_t kMachineStaticSize = 105;
inline constexpr std::size_t kMachineGuestLeaf = 106;
inline constexpr std::size_t kMachineNestedLeaf = 107;
inline constexpr std::size_t kMachineEagerLulls = 108;
inline constexpr std::size_t kMachineSlots = 109;
static_assert(kMachineEagerLulls + 1 == kMachineSlots, "the last field must end the block");

static_assert(kMachineL1dSlots == kArraysPerSide * kArraySlots);
static_assert(kMachineL1iSlots == kMachineL1dSlots && kMachineStlbSlots == kMachineL1dSlots);
static_assert(kMachineCachesSlots == kMaxCaches * kCacheSlots);

// Context block: roots, tags, zones.
inline constexpr std::size_t kContextRoot = 0;
inline constexpr std::size_t kContextNestedRoot = 1;
inline constexpr std::size_t kContextTag = 2;
inline constexpr std::size_t kContextVm = 3;
inline constexpr std::size_t kContextGuestZoneBase = 4;
inline constexpr std::size_t kContextGuestZoneFrames = 5;
inline constexpr std::size_t kContextGuestZoneWord = 6;
inline constexpr std::size_t kContextNestedZoneBase = 7;
inline constexpr std::size_t kContextNestedZoneFrames = 8;
inline constexpr std::size_t kContextNestedZoneWord = 9;
inline constexpr std::size_t kContextSlots = 10;
static_assert(kContextNestedZoneWord + 1 == kContextSlots, "the last field must end the block");

// Fault block: what stopped a stream.
inline constexpr std::size_t kFaultIndex = 0;
inline constexpr std::size_t kFaultPage = 1;
inline constexpr std::size_t kFaultOffset = 2;
inline constexpr std::size_t kFaultKind = 3;
inline constexpr std::size_t kFaultGpaFrame = 4;
inline constexpr std::size_t kFaultIntentWrite = 5;
inline constexpr std::size_t kFaultRow = 6;
inline constexpr std::size_t kFaultDetail = 7;
inline constexpr std::size_t kFaultSlots = 8;
static_assert(kFaultDetail + 1 == kFaultSlots, "the last field must end the block");

// Workload block.
inline constexpr std::size_t kComponentSlots = 16;

}  // namespace nestwalk::schema
