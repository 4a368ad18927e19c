// Memory of the core: fixed at construction, zeroed, cache-line aligned. No std containers in the kernels, because the
// linker keeps one copy of each of their functions, and it might keep the one compiled for another instruction set.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define NESTWALK_INLINE [[gnu::always_inline]] inline

namespace nestwalk::NESTWALK_TIER {

// Set when any buffer could not be had; the factory of a machine looks at it and gives none.
inline thread_local bool allocation_failed = false;

// Bytes that the buffers of this thread's machines were given so far: a factory takes the difference, so that Node's
// collector knows what a machine weighs.
inline thread_local std::size_t allocated_bytes = 0;

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size, int byte = 0) { allocate(size, byte); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  // Allocates `size` elements, each byte set to `byte`.
  void allocate(std::size_t size, int byte = 0) {
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
    if (size == 0) return;
    const std::size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) {
      allocation_failed = true;
      return;
    }
    allocated_bytes += bytes;
    std::memset(data_, byte, bytes);
    size_ = size;
  }

  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  void fill(int byte) {
    if (size_ != 0) std::memset(data_, byte, size_ * sizeof(T));
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// A list that grows; trivially copyable elements only.
template <class T>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { std::free(data_); }

  void push(T value) {
    if (size_ == capacity_ && !grow()) return;
    data_[size_++] = value;
  }
  // Takes the last element off; there is one.
  T pop() { return data_[--size_]; }
  void clear() { size_ = 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  std::size_t size() const { return size_; }
  const T* data() const { return data_; }

 private:
  bool grow() {
    const std::size_t capacity = capacity_ == 0 ? 64 : 2 * capacity_;
    T* data = static_cast<T*>(std::realloc(data_, capacity * sizeof(T)));
    if (data == nullptr) {
      allocation_failed = true;
      return false;
    }
    data_ = data;
    capacity_ = capacity;
    return true;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// A map from 64-bit keys to 64-bit values by open addressing; a key of all ones does not occur.
class HashMap {
 public:
  HashMap() { allocate(kFirstCapacity); }
  HashMap(const HashMap&) = delete;
  HashMap& operator=(const HashMap&) = delete;
  ~HashMap() { std::free(cells_); }

  std::size_t size() const { return size_; }

  // The value of a key, or null.
  const std::uint64_t* find(std::uint64_t key) const {
    std::size_t i = (key * 0x9e3779b97f4a7c15) >> shift_;
    while (cells_[i].key != key && cells_[i].key != kEmpty) i = (i + 1) & (capacity_ - 1);
    return cells_[i].key == key ? &cells_[i].value : nullptr;
  }

  // The value of a key, which is made with value 0 if it is not there; `made` says so.
  std::uint64_t& at(std::uint64_t key, bool& made) {
    if (2 * (size_ + 1) > capacity_) grow();
    std::size_t i = (key * 0x9e3779b97f4a7c15) >> shift_;
    while (cells_[i].key != key && cells_[i].key != kEmpty) i = (i + 1) & (capacity_ - 1);
    made = cells_[i].key == kEmpty;
    if (made) {
      cells_[i] = {key, 0};
      size_++;
    }
    return cells_[i].value;
  }

  void clear() {
    for (std::size_t i = 0; i < capacity_; i++) cells_[i] = {kEmpty, 0};
    size_ = 0;
  }

  template <class Visit>
  void visit(Visit visit) const {
    for (std::size_t i = 0; i < capacity_; i++) {
      if (cells_[i].key != kEmpty) visit(cells_[i].key, cells_[i].value);
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  static constexpr std::size_t kFirstCapacity = 64;
  struct Cell {
    std::uint64_t key;
    std::uint64_t value;
  };

  void allocate(std::size_t capacity) {
    cells_ = static_cast<Cell*>(std::malloc(capacity * sizeof(Cell)));
    if (cells_ == nullptr) std::abort();  // A few bytes for each page touched: nothing sensible is left to do.
    for (std::size_t i = 0; i < capacity; i++) cells_[i] = {kEmpty, 0};
    capacity_ = capacity;
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(capacity));
  }

  void grow() {
    Cell* const old = cells_;
    const std::size_t old_capacity = capacity_;
    allocate(2 * capacity_);
    size_ = 0;
    bool made = false;
    for (std::size_t i = 0; i < old_capacity; i++) {
      if (old[i].key != kEmpty) at(old[i].key, made) = old[i].value;
    }
    std::free(old);
  }

  Cell* cells_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  unsigned shift_ = 0;
};

}  // namespace nestwalk::NESTWALK_TIER
