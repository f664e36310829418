// Zeroed memory that starts on a cache line, on huge pages where the system allows it.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace llmos {

// Becomes a MemoryError in Python.
class OutOfMemory : public std::bad_alloc {
  public:
    explicit OutOfMemory(size_t bytes)
        : message_("The system cannot allocate " + std::to_string(bytes) +
                   " bytes in one piece. Use a smaller KV cache, batch or model.") {}
    const char* what() const noexcept override { return message_.c_str(); }

  private:
    std::string message_;
};

class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t bytes) : bytes_(bytes) {
        if (!bytes) return;
        // Without MAP_NORESERVE the kernel refuses at once more memory than the machine has.
        data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) {
            data_ = nullptr;
            throw OutOfMemory(bytes);
        }
        if (bytes >= (size_t(1) << 20)) madvise(data_, bytes, MADV_HUGEPAGE);
    }
    // A part of memory that `owner` keeps alive. It may be read-only.
    Buffer(std::shared_ptr<const void> owner, const void* data, size_t bytes)
        : data_(const_cast<void*>(data)), bytes_(bytes), owner_(std::move(owner)) {}
    ~Buffer() {
        if (data_ && !owner_) munmap(data_, bytes_);
    }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    size_t bytes() const { return bytes_; }
    template <class T> T* as() const { return static_cast<T*>(data_); }

  private:
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(owner_, other.owner_);
    }
    void* data_ = nullptr;
    size_t bytes_ = 0;
    std::shared_ptr<const void> owner_;
};

}  // namespace llmos
