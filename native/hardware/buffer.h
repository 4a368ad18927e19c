// Memory of the core: fixed at construction, zeroed, cache-line aligned. No std containers in the kernels, because the
// linker keeps one copy of each of their functions, and it might keep the one compiled for another instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

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

}  // namespace nestwalk::NESTWALK_TIER
