#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "repository/types.h"

namespace cacs::repository {

/// Pages on their way in, at random. Any thread.
class PageSource {
 public:
  virtual ~PageSource() = default;
  /// As pread: fills `out` from `offset`, fewer bytes only at the end.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// Bytes in all.
  [[nodiscard]] virtual Result<std::uint64_t> size() const = 0;
  /// Where there may be anything but zeros, in pages of the stream, ascending. One thread.
  [[nodiscard]] virtual Result<PageLayout> data() const = 0;
};

class MemoryPageSource final : public PageSource {
 public:
  /// `data` has to live as long as the source.
  explicit MemoryPageSource(std::span<const std::byte> data) : data_(data) {}
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override;
  [[nodiscard]] Result<std::uint64_t> size() const override { return data_.size(); }
  [[nodiscard]] Result<PageLayout> data() const override;

 private:
  std::span<const std::byte> data_;
};

/// A regular file, holes found with SEEK_DATA. The descriptor stays the caller's; its offset is moved by data().
class FdPageSource final : public PageSource {
 public:
  explicit FdPageSource(int fd) : fd_(fd) {}
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override;
  [[nodiscard]] Result<std::uint64_t> size() const override;
  [[nodiscard]] Result<PageLayout> data() const override;

 private:
  int fd_;
};

}  // namespace cacs::repository
