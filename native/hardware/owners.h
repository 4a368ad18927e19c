// Numbers for tags (or vms), small enough for the top bits of a key. There are more tags than numbers over a machine's
// life: a number whose tag nothing carries any more is given to another one. Nobody can see which number a tag has.
#pragma once

#include <bit>
#include <cstdint>

#include "buffer.h"
#include "observers.h"

namespace nestwalk::NESTWALK_TIER {

// Bits of a key below its owner: a page number of at most 45 bits (a 57-bit space) and a page size of 2.
inline constexpr unsigned kOwnerShift = 48;
inline constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << kOwnerShift) - 1;
// Owners fit the 16 bits above, less the one that would make a key of all ones.
inline constexpr std::uint32_t kMaxOwners = 0xffff;
// Stands for no number.
inline constexpr std::uint64_t kNoOwner = ~std::uint64_t{0};

class Owners {
 public:
  // The number of an owner; kNoOwner for one that has none, and then owns nothing.
  std::uint64_t find(double value) const {
    const std::uint64_t* known = numbers_.find(std::bit_cast<std::uint64_t>(value));
    return known == nullptr ? kNoOwner : *known;
  }

  // The number of an owner, a new one if it has none; kNoOwner when all numbers are in use. When many are, `mark` is
  // called with a function that is to be told each number still in use, and the others become free.
  template <class Mark>
  std::uint64_t number(double value, Mark mark) {
    const std::uint64_t known = find(value);
    if (known != kNoOwner) return known;
    if (free_.size() == 0 && values_.size() >= limit_) release(mark);
    return new_number(value);
  }

  // The same without looking for numbers that are no longer in use.
  std::uint64_t number(double value) {
    const std::uint64_t known = find(value);
    return known != kNoOwner ? known : new_number(value);
  }

  template <class Mark>
  void release(Mark mark) {
    Buffer<std::uint8_t> in_use(values_.size());
    if (in_use.size() == 0) return;
    mark([&in_use](std::uint64_t number) { in_use[number] = 1; });
    numbers_.clear();
    free_.clear();
    bool made = false;
    for (std::uint64_t number = 0; number < values_.size(); number++) {
      if (in_use[number]) {
        numbers_.at(std::bit_cast<std::uint64_t>(values_[number]), made) = number;
      } else {
        free_.push(number);
      }
    }
    // Looking costs as much as there are entries and numbers: it should set many free each time.
    if (2 * free_.size() < values_.size()) limit_ = 2 * limit_ < kMaxOwners ? 2 * limit_ : kMaxOwners;
  }

  double value(std::uint64_t number) const { return values_[number]; }

  // Of a tag: the number of the vm that it belongs to, or kNoOwner.
  std::uint64_t& vm_of(std::uint64_t number) { return vms_[number]; }
  std::uint64_t vm_of(std::uint64_t number) const { return vms_[number]; }

  // Whether so many are in use that it is time to look again.
  bool crowded() const { return values_.size() - free_.size() > kMaxOwners / 2; }

 private:
  // Numbers given out before it is first looked whether all are in use.
  static constexpr std::size_t kFirstLimit = 1024;

  std::uint64_t new_number(double value) {
    std::uint64_t number = values_.size();
    if (free_.size() != 0) {
      number = free_.pop();
      values_[number] = value;
      vms_[number] = kNoOwner;
    } else {
      if (number >= kMaxOwners) return kNoOwner;
      values_.push(value);
      vms_.push(kNoOwner);
    }
    bool made = false;
    numbers_.at(std::bit_cast<std::uint64_t>(value), made) = number;
    return number;
  }

  List<double> values_;
  List<std::uint64_t> vms_;
  List<std::uint64_t> free_;
  HashMap numbers_;
  std::size_t limit_ = kFirstLimit;
};

}  // namespace nestwalk::NESTWALK_TIER
