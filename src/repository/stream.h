#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::repository {

/// Bytes on their way in, read once from start to end. One thread at a time.
class Source {
 public:
  virtual ~Source() = default;
  /// Up to out.size() bytes; 0 only at the end.
  virtual Result<std::size_t> read(std::span<std::byte> out) = 0;
  /// How many bytes from here on are known to be zero without reading them. 0: not known to be.
  virtual Result<std::uint64_t> hole() = 0;
  /// Goes past `count` bytes of such a hole.
  virtual void skip(std::uint64_t count) = 0;
};

class MemorySource final : public Source {
 public:
  /// `data` has to live as long as the source.
  explicit MemorySource(std::span<const std::byte> data) : data_(data) {}
  Result<std::size_t> read(std::span<std::byte> out) override;
  Result<std::uint64_t> hole() override { return std::uint64_t{0}; }
  void skip(std::uint64_t count) override { data_ = data_.subspan(count); }

 private:
  std::span<const std::byte> data_;
};

/// A file from offset 0 to its end, holes found with SEEK_DATA, read with pread: the descriptor's offset stays as it
/// is. A pipe or socket is read to its end. The descriptor stays the caller's.
class FdSource final : public Source {
 public:
  explicit FdSource(int fd);
  Result<std::size_t> read(std::span<std::byte> out) override;
  Result<std::uint64_t> hole() override;
  void skip(std::uint64_t count) override { offset_ += count; }

 private:
  Status find_extent();
  int fd_;
  bool seekable_;
  std::uint64_t offset_ = 0;
  std::uint64_t data_start_ = 0;  ///< the extent of data around or after offset_
  std::uint64_t data_end_ = 0;
};

/// Bytes on their way out, in order. One thread at a time.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status write(std::span<const std::byte> data) = 0;
  /// `count` zero bytes.
  virtual Status hole(std::uint64_t count) = 0;
  /// Everything has been passed.
  virtual Status finish() { return {}; }
};

/// Fills a file from offset 0; holes stay holes, for the file has to be empty at the start. Not synced.
class FdSink final : public Sink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  Status write(std::span<const std::byte> data) override;
  Status hole(std::uint64_t count) override;
  Status finish() override;

 private:
  int fd_;
  std::uint64_t offset_ = 0;
};

/// Collects into a string of at most `limit` bytes; kTooLarge past that.
class StringSink final : public Sink {
 public:
  explicit StringSink(std::size_t limit) : limit_(limit) {}
  Status write(std::span<const std::byte> data) override;
  Status hole(std::uint64_t count) override;
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::size_t limit_;
  std::string text_;
};

/// Takes everything and keeps nothing: for reading in order to check.
class NullSink final : public Sink {
 public:
  Status write(std::span<const std::byte> /*data*/) override { return {}; }
  Status hole(std::uint64_t /*count*/) override { return {}; }
};

}  // namespace cacs::repository
