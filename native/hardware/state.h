// The complete state of the hardware in canonical form. The format is that of src/hardware/state.ts: the same machine
// after the same accesses writes the same numbers in both engines, whatever layout holds them. Each structure is a
// section: the count of its numbers, then these.
#pragma once

#include <cstdint>

#include "core.h"

namespace nestwalk::NESTWALK_TIER {

// Stands before a plru set that is not full.
inline constexpr double kByWay = -1;

// Writes numbers, or only counts them.
class NumberWriter {
 public:
  explicit NumberWriter(double* out) : out_(out) {}
  void put(double value) {
    if (out_ != nullptr) out_[length_] = value;
    length_++;
  }
  // Sections are written as the count of their numbers, then these. `close` is given what `open` gave.
  std::size_t open() {
    put(0);
    return length_;
  }
  void close(std::size_t begin) {
    if (out_ != nullptr) out_[begin - 1] = static_cast<double>(length_ - begin);
  }
  std::size_t length() const { return length_; }

 private:
  double* out_;
  std::size_t length_ = 0;
};

// Reads numbers; past the end it gives zeros and remembers.
class NumberReader {
 public:
  NumberReader(const double* numbers, std::size_t length) : numbers_(numbers), length_(length) {}
  double next() {
    if (at_ < length_) return numbers_[at_++];
    overrun_ = true;
    return 0;
  }
  std::uint64_t integer() { return static_cast<std::uint64_t>(next()); }
  // Passes by the count that begins a section.
  void open() { next(); }
  bool finished() const { return at_ == length_ && !overrun_; }

 private:
  const double* numbers_;
  std::size_t length_;
  std::size_t at_ = 0;
  bool overrun_ = false;
};

template <class Cache, bool kNested, bool kExtras>
class StateFormat {
 public:
  explicit StateFormat(Core<Cache, kNested, kExtras>& core) : core_(core) {}

  std::size_t save(double* out) {
    if (core_.static_tlbs_) core_.lull_.settle();
    NumberWriter writer(out);
    for (TlbSide* side : {&core_.l1d_, &core_.l1i_, &core_.stlb_}) save_side(writer, *side);
    save_psc(writer, core_.table_.psc, core_.tags_);
    if constexpr (kNested) {
      save_psc(writer, core_.nested_.table.psc, core_.vms_);
      if (core_.nested_.ntlb.present()) save_ntlb(writer);
    }
    if (core_.state_.pwc.present()) save_keys(writer, core_.state_.pwc.cache());
    for (std::uint32_t i = 0; i < core_.state_.caches.count(); i++) save_cache(writer, core_.state_.caches.cache(i));
    return writer.length();
  }

  // False when the state is of another machine, or of more tags at once than there are numbers for.
  bool load(const double* state, std::size_t length) {
    NumberReader reader(state, length);
    core_.flush_all();
    if (core_.tags_.crowded()) core_.tags_.release([this](auto use) { core_.mark_tags(use); });
    if (core_.vms_.crowded()) core_.vms_.release([this](auto use) { core_.mark_vms(use); });
    for (TlbSide* side : {&core_.l1d_, &core_.l1i_, &core_.stlb_}) load_side(reader, *side);
    load_psc(reader, core_.table_.psc, core_.tags_);
    if constexpr (kNested) {
      load_psc(reader, core_.nested_.table.psc, core_.vms_);
      if (core_.nested_.ntlb.present()) load_ntlb(reader);
    }
    if (core_.state_.pwc.present()) load_keys(reader, core_.state_.pwc.cache());
    for (std::uint32_t i = 0; i < core_.state_.caches.count(); i++) load_cache(reader, core_.state_.caches.cache(i));
    if (core_.static_tlbs_) core_.lull_.park_all(false);
    return reader.finished() && numbered_;
  }

 private:
  // A loaded state may hold every size.
  static constexpr std::uint32_t kAllSizes = (1u << schema::kPageSizes) - 1;

  // --- TLBs ---------------------------------------------------------------------------------------------------------

  void save_side(NumberWriter& writer, TlbSide& side) {
    for (std::uint32_t i = 0; i < side.count(); i++) {
      const std::size_t begin = writer.open();
      save_array(writer, side.array(i));
      writer.close(begin);
    }
  }

  void load_side(NumberReader& reader, TlbSide& side) {
    side.expect(kAllSizes);
    for (std::uint32_t i = 0; i < side.count(); i++) {
      reader.open();
      load_array(reader, side.array(i));
    }
  }

  void put_tlb_entry(NumberWriter& writer, std::uint64_t key, const TlbPayload& payload, const Owners& owners) {
    writer.put(static_cast<double>(key & kNumberMask));
    writer.put(owners.value(key >> kOwnerShift));
    writer.put(static_cast<double>(payload.frame));
    writer.put(payload.flags);
  }

  std::uint64_t get_key(NumberReader& reader, Owners& owners) {
    const std::uint64_t number = reader.integer() & kNumberMask;
    const std::uint64_t owner = owners.number(reader.next());
    numbered_ = numbered_ && owner != kNoOwner;
    return owner << kOwnerShift | number;
  }

  TlbPayload get_payload(NumberReader& reader) {
    const std::uint64_t frame = reader.integer();
    return {frame, static_cast<std::uint32_t>(reader.integer())};
  }

  void save_array(NumberWriter& writer, TlbArray& array) {
    const auto put = [&](std::uint32_t slot, std::uint64_t key) {
      put_tlb_entry(writer, key, array.payloads[slot], core_.tags_);
    };
    SetAssoc& cache = array.cache;
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      if (cache.ordered()) {
        std::uint32_t valid = 0;
        cache.visit(set, [&](std::uint32_t, std::uint64_t) { valid++; });
        writer.put(valid);
        cache.visit(set, put);
      } else {
        save_by_way(writer, cache, set, put);
      }
    }
  }

  template <class Put>
  void save_by_way(NumberWriter& writer, SetAssoc& cache, std::uint32_t set, Put put) {
    const std::uint32_t first = set * cache.ways();
    const ReplacementState& replacement = cache.replacement();
    if (replacement.tree()) {
      std::uint32_t valid = 0;
      for (std::uint32_t way = 0; way < cache.ways(); way++) valid += cache.key(first + way) != kNoKey;
      if (valid == cache.ways()) {
        writer.put(valid);
        put_tree(cache, first, 1, put);
        return;
      }
      writer.put(kByWay);
    }
    for (std::uint32_t slot = first; slot < first + cache.ways(); slot++) {
      const bool valid = cache.key(slot) != kNoKey;
      writer.put(valid);
      if (valid) put(slot, cache.key(slot));
      if (replacement.has_values() && (replacement.tree() || valid)) writer.put(replacement.value(slot));
    }
  }

  // The contents of a full tree, victim side first at each node.
  template <class Put>
  void put_tree(SetAssoc& cache, std::uint32_t first, std::uint32_t node, Put put) {
    if (node >= cache.ways()) {
      const std::uint32_t slot = first + node - cache.ways();
      put(slot, cache.key(slot));
      return;
    }
    const std::uint32_t victim_side = cache.replacement().value(first + node);
    put_tree(cache, first, 2 * node + victim_side, put);
    put_tree(cache, first, 2 * node + (victim_side ^ 1), put);
  }

  void load_array(NumberReader& reader, TlbArray& array) {
    SetAssoc& cache = array.cache;
    List<std::uint64_t> keys;
    List<TlbPayload> payloads;
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      if (!cache.ordered()) {
        load_by_way(reader, array, set);
        continue;
      }
      keys.clear();
      payloads.clear();
      const std::uint64_t valid = reader.integer();
      for (std::uint64_t i = 0; i < valid && i < cache.ways(); i++) {
        keys.push(get_key(reader, core_.tags_));
        payloads.push(get_payload(reader));
      }
      // Least recent first, so that the order of the fills is the order of the contents.
      for (std::size_t i = keys.size(); i-- > 0;) {
        array.payloads[static_cast<std::uint32_t>(cache.fill(set, keys[i], 0))] = payloads[i];
      }
    }
  }

  void load_by_way(NumberReader& reader, TlbArray& array, std::uint32_t set) {
    SetAssoc& cache = array.cache;
    ReplacementState& replacement = cache.replacement();
    const std::uint32_t first = set * cache.ways();
    const auto load_slot = [&](std::uint32_t slot) {
      cache.key(slot) = get_key(reader, core_.tags_);
      array.payloads[slot] = get_payload(reader);
    };
    if (replacement.tree() && reader.next() != kByWay) {
      for (std::uint32_t slot = first; slot < first + cache.ways(); slot++) {
        load_slot(slot);
        replacement.value(slot) = 0;  // A tree that points left everywhere.
      }
      return;
    }
    for (std::uint32_t slot = first; slot < first + cache.ways(); slot++) {
      const bool valid = reader.next() == 1;
      if (valid) load_slot(slot);
      if (replacement.has_values() && (replacement.tree() || valid)) {
        replacement.value(slot) = static_cast<std::uint8_t>(reader.integer());
      }
    }
  }

  // --- walk caches ---------------------------------------------------------------------------------------------------

  template <class AnyCache, class Put>
  void save_ordered(NumberWriter& writer, const AnyCache& cache, Put put) {
    const std::size_t begin = writer.open();
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      std::uint32_t valid = 0;
      cache.visit(set, [&](std::uint32_t, std::uint64_t) { valid++; });
      writer.put(valid);
      cache.visit(set, put);
    }
    writer.close(begin);
  }

  void save_psc(NumberWriter& writer, Psc<Cache>& psc, const Owners& owners) {
    for (std::uint32_t k = 2; k <= schema::kMaxTableLevels; k++) {
      PscLevel<Cache>& level = psc.level(k);
      if (!level.present) continue;
      save_ordered(writer, level.cache, [&](std::uint32_t slot, std::uint64_t key) {
        writer.put(static_cast<double>(key & kNumberMask));
        writer.put(owners.value(key >> kOwnerShift));
        writer.put(static_cast<double>(level.payloads[slot].table));
        writer.put(static_cast<double>(level.payloads[slot].host));
        writer.put(level.payloads[slot].flags);
      });
    }
  }

  void load_psc(NumberReader& reader, Psc<Cache>& psc, Owners& owners) {
    for (std::uint32_t k = 2; k <= schema::kMaxTableLevels; k++) {
      PscLevel<Cache>& level = psc.level(k);
      if (!level.present) continue;
      load_ordered<PscPayload>(
          reader, level.cache, [&] { return get_key(reader, owners); },
          [&] {
            const std::uint64_t table = reader.integer();
            const std::uint64_t host = reader.integer();
            return PscPayload{table, host, static_cast<std::uint32_t>(reader.integer())};
          },
          [&](std::int32_t slot, const PscPayload& payload) {
            level.payloads[static_cast<std::uint32_t>(slot)] = payload;
          });
    }
  }

  // Entries come most recent first and are filled in the opposite order.
  template <class Payload, class AnyCache, class Key, class Get, class Set>
  void load_ordered(NumberReader& reader, AnyCache& cache, Key key, Get get, Set set_payload) {
    List<std::uint64_t> keys;
    List<Payload> payloads;
    reader.open();
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      keys.clear();
      payloads.clear();
      const std::uint64_t valid = reader.integer();
      for (std::uint64_t i = 0; i < valid && i < cache.slots(); i++) {
        keys.push(key());
        payloads.push(get());
      }
      for (std::size_t i = keys.size(); i-- > 0;) set_payload(cache.fill(set, keys[i]), payloads[i]);
    }
  }

  void save_ntlb(NumberWriter& writer) {
    auto& ntlb = core_.nested_.ntlb;
    save_ordered(writer, ntlb.cache(), [&](std::uint32_t slot, std::uint64_t key) {
      put_tlb_entry(writer, key, ntlb.payload(static_cast<std::int32_t>(slot)), core_.vms_);
    });
  }

  void load_ntlb(NumberReader& reader) {
    auto& ntlb = core_.nested_.ntlb;
    ntlb.expect_all_sizes();
    load_ordered<TlbPayload>(
        reader, ntlb.cache(), [&] { return get_key(reader, core_.vms_); }, [&] { return get_payload(reader); },
        [&](std::int32_t slot, const TlbPayload& payload) { ntlb.payload(slot) = payload; });
  }

  // Keys that belong to nobody: their owner is written as 0.
  void save_keys(NumberWriter& writer, const WideLru& cache) {
    save_ordered(writer, cache, [&](std::uint32_t, std::uint64_t key) {
      writer.put(static_cast<double>(key));
      writer.put(0);
    });
  }

  void load_keys(NumberReader& reader, WideLru& cache) {
    load_ordered<double>(
        reader, cache, [&] { return reader.integer(); }, [&] { return reader.next(); }, [](std::int32_t, double) {});
  }

  void save_cache(NumberWriter& writer, const PteCache& cache) {
    const std::size_t begin = writer.open();
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      std::uint32_t valid = 0;
      cache.visit(set, [&](std::uint64_t) { valid++; });
      writer.put(valid);
      cache.visit(set, [&](std::uint64_t line) {
        writer.put(static_cast<double>(line));
        writer.put(0);
      });
    }
    writer.close(begin);
  }

  void load_cache(NumberReader& reader, PteCache& cache) {
    cache.clear();
    List<std::uint64_t> lines;
    reader.open();
    for (std::uint32_t set = 0; set < cache.sets(); set++) {
      lines.clear();
      const std::uint64_t valid = reader.integer();
      for (std::uint64_t i = 0; i < valid && i < cache.ways(); i++) {
        lines.push(reader.integer());
        reader.next();
      }
      for (std::size_t i = lines.size(); i-- > 0;) cache.fill(set, lines[i]);
    }
  }

  Core<Cache, kNested, kExtras>& core_;
  // Whether all owners have numbers.
  bool numbered_ = true;
};

}  // namespace nestwalk::NESTWALK_TIER
