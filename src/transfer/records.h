#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/stream.h"
#include "repository/types.h"

/// The inner form of an exported checkpoint: its head, its entries with their bytes, an end. docs/export-format.md.
namespace cacs::transfer {

/// What an entry is. The numbers stand in archives.
enum class EntryKind : std::uint8_t {
  kFile = 1,        ///< cut by content
  kMetadata = 2,    ///< the same, finer
  kPages = 3,       ///< pages; page n of the stream is page n
  kMemory = 4,      ///< pages with a layout
  kListing = 5,     ///< a listing whose tokens are the numbers of the tree's entries
  kBaseRecord = 6,  ///< a record of the base, the same
};

inline constexpr std::size_t kMaxHeadBytes = std::size_t{16} << 20U;
inline constexpr std::size_t kMaxRunsBytes = std::size_t{64} << 20U;
/// Pages that a memory's layout may name: zeros among them take time and no bytes.
inline constexpr std::uint64_t kMaxMemoryPages = std::uint64_t{1} << 30U;

using PutBytes = std::function<Status(std::span<const std::byte>)>;
/// Fills `out`, with fewer bytes only at the end.
using TakeBytes = std::function<Result<std::size_t>(std::span<std::byte>)>;

/// Writes records. One thread at a time.
class RecordWriter {
 public:
  explicit RecordWriter(PutBytes put) : put_(std::move(put)) {}
  Status head(std::string_view json);
  Status entry(EntryKind kind, std::string_view name, std::uint64_t size);
  /// Of page maps, after the entry: the layout (kMemory alone) and where there is anything but zeros; then their bytes.
  Status runs(const repository::PageLayout& runs);
  Status raw(std::span<const std::byte> bytes) { return put_(bytes); }
  Status end();

 private:
  Status number(std::uint64_t value);
  PutBytes put_;
  std::uint64_t entries_ = 0;
};

/// Writes the bytes of a kFile, kMetadata, kListing or kBaseRecord, however they come, in one form: units of 4 KiB that
/// are zeros as runs of zeros.
class ContentSink final : public repository::Sink {
 public:
  explicit ContentSink(PutBytes put) : put_(std::move(put)) {}
  Status write(std::span<const std::byte> data) override;
  Status hole(std::uint64_t count) override;
  Status finish() override;

 private:
  Status end_unit();
  Status flush_data();
  Status flush_zeros();
  PutBytes put_;
  std::string unit_;
  std::string data_;
  std::uint64_t zeros_ = 0;
};

/// The next thing that a RecordReader finds.
struct Record {
  enum class Type { kHead, kEntry, kEnd };
  Type type = Type::kEnd;
  std::string head;  ///< JSON
  EntryKind kind = EntryKind::kFile;
  std::string name;
  std::uint64_t size = 0;
};

/// Reads records. Takes any bytes whatsoever: what is no record is kCorrupt, and nothing is made room for before its
/// bytes have come. One thread at a time.
class RecordReader {
 public:
  explicit RecordReader(TakeBytes take) : take_(std::move(take)) {}
  /// After an entry its content has to be read to its end first. kCorrupt also where the end names another number of
  /// entries.
  Result<Record> next();
  /// `pages`: how many there have to be; 0: at most `limit`.
  Result<repository::PageLayout> runs(std::uint64_t pages, std::uint64_t limit);
  Status raw(std::span<std::byte> out);
  Result<std::uint64_t> number();

 private:
  Result<std::string> text(std::uint64_t size);
  TakeBytes take_;
  std::uint64_t entries_ = 0;
  bool headed_ = false;
};

/// The bytes of such a content, of `size`. A read that fails is remembered by the reader's caller alone.
class ContentSource final : public repository::Source {
 public:
  ContentSource(RecordReader& reader, std::uint64_t size) : reader_(reader), left_(size) {}
  Result<std::size_t> read(std::span<std::byte> out) override;
  Result<std::uint64_t> hole() override;
  void skip(std::uint64_t count) override;
  [[nodiscard]] bool at_end() const { return left_ == 0 && run_ == 0; }

 private:
  Status next_run();
  RecordReader& reader_;
  std::uint64_t left_;     ///< bytes after this run
  std::uint64_t run_ = 0;  ///< bytes of the run that are left
  bool stored_ = false;
};

}  // namespace cacs::transfer
