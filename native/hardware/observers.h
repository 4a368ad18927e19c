// Optional observers: distinct entries behind each position, and exact stack distances. Semantics:
// src/hardware/observers.ts.
#pragma once

#include <bit>
#include <cstdint>

#include "../schema.h"
#include "buffer.h"

namespace nestwalk::NESTWALK_TIER {

// Distinct entries, by host physical address / 8, behind `refs` at each position; faulted walks excluded.
class UniqueEntries {
 public:
  void record(const std::uint8_t* positions, const std::uint64_t* words, std::uint32_t length) {
    bool made = false;
    for (std::uint32_t i = 0; i < length; i++) sets_[positions[i]].at(words[i], made);
  }

  void read(double* counts) const {
    for (std::size_t i = 0; i < schema::kPositions; i++) counts[i] = static_cast<double>(sets_[i].size());
  }

 private:
  HashMap sets_[schema::kPositions];
};

// Stack distances of one tag: a Fenwick tree over a time line that holds a mark at each page's last access. The line is
// renumbered when it is full.
class DistanceStack {
 public:
  DistanceStack() { allocate(kMinCapacity); }

  // The distance of an access to a page, or -1 for the first one; then marks the page as the newest.
  std::int64_t access(std::uint64_t page) {
    if (now_ == capacity_) renumber();
    bool first = false;
    std::uint64_t& last = last_times_.at(page, first);
    std::int64_t distance = -1;
    if (!first) {
      distance = static_cast<std::int64_t>(last_times_.size()) - marks_up_to(last);
      add(last, -1);
      pages_[last] = kNoPage;
    }
    last = ++now_;
    pages_[now_] = page;
    add(now_, 1);
    return distance;
  }

 private:
  static constexpr std::uint64_t kMinCapacity = 1024;
  static constexpr std::uint64_t kNoPage = ~std::uint64_t{0};

  void allocate(std::uint64_t capacity) {
    tree_.allocate(capacity + 1);
    pages_.allocate(capacity + 1, 0xff);
    if (tree_.size() == 0 || pages_.size() == 0) std::abort();  // As in HashMap.
    capacity_ = capacity;
  }

  void add(std::uint64_t time, std::int64_t by) {
    for (std::uint64_t t = time; t <= capacity_; t += t & (~t + 1)) tree_[t] += by;
  }

  std::int64_t marks_up_to(std::uint64_t time) const {
    std::int64_t sum = 0;
    for (std::uint64_t t = time; t > 0; t -= t & (~t + 1)) sum += tree_[t];
    return sum;
  }

  void renumber() {
    Buffer<std::uint64_t> live(last_times_.size());
    std::uint64_t count = 0;
    for (std::uint64_t t = 1; t <= now_; t++) {
      if (pages_[t] != kNoPage) live[count++] = pages_[t];
    }
    allocate(kMinCapacity > 2 * count ? kMinCapacity : 2 * count);
    bool made = false;
    now_ = 0;
    for (std::uint64_t i = 0; i < count; i++) {
      last_times_.at(live[i], made) = ++now_;
      pages_[now_] = live[i];
      add(now_, 1);
    }
  }

  HashMap last_times_;
  Buffer<std::int64_t> tree_;
  Buffer<std::uint64_t> pages_;
  std::uint64_t capacity_ = 0;
  std::uint64_t now_ = 0;
};

// Reuse distances of all tags.
class ReuseDistances {
 public:
  ReuseDistances() = default;
  ReuseDistances(const ReuseDistances&) = delete;
  ReuseDistances& operator=(const ReuseDistances&) = delete;
  ~ReuseDistances() {
    for (std::size_t i = 0; i < stacks_.size(); i++) delete stacks_[i];
  }

  // Accesses from now on are of a tag.
  void select(double tag) {
    bool made = false;
    std::uint64_t& place = places_.at(std::bit_cast<std::uint64_t>(tag), made);
    if (made) {
      place = stacks_.size();
      stacks_.push(new DistanceStack());
    }
    current_ = stacks_[place];
  }

  void record(std::uint64_t page) {
    const std::int64_t distance = current_->access(page);
    bool made = false;
    if (distance < 0) {
      cold_++;
    } else {
      distances_.at(static_cast<std::uint64_t>(distance), made)++;
    }
  }

  void record_repeats(std::uint64_t count) {
    bool made = false;
    if (count > 0) distances_.at(0, made) += count;
  }

  // The number of cold accesses, then pairs (distance, count) in no order; the length alone when `out` is null.
  std::size_t read(double* out) const {
    if (out != nullptr) {
      *out++ = static_cast<double>(cold_);
      distances_.visit([&](std::uint64_t distance, std::uint64_t count) {
        *out++ = static_cast<double>(distance);
        *out++ = static_cast<double>(count);
      });
    }
    return 1 + 2 * distances_.size();
  }

 private:
  List<DistanceStack*> stacks_;
  HashMap places_;
  DistanceStack* current_ = nullptr;
  HashMap distances_;
  std::uint64_t cold_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
