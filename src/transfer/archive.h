#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/codec/codec.h"
#include "repository/keys/credential.h"
#include "repository/keys/derivation.h"
#include "repository/keys/key_slot.h"
#include "repository/keys/sealing.h"

/// The outer form of an exported checkpoint: a stream of bytes in blocks of 1 MiB, compressed, then sealed or
/// checksummed each, the last one marked. docs/export-format.md. In memory: a few blocks.
namespace cacs::transfer {

inline constexpr std::size_t kArchiveHeaderBytes = 48;
inline constexpr std::size_t kArchiveBlockBytes = std::size_t{1} << 20U;

/// Where bytes go.
using WriteBytes = std::function<Status(std::span<const std::byte>)>;
/// Where bytes come from: up to out.size(), 0 only at the end.
using ReadBytes = std::function<Result<std::size_t>(std::span<std::byte>)>;
/// Asked for what opens a sealed archive.
using AskCredential = std::function<Result<repository::Credential>(repository::SlotMethod)>;

struct ArchiveSeal {
  repository::Sealing sealing = repository::Sealing::kAes256Gcm;
  repository::ScryptCost cost;  ///< of a passphrase
};

/// One thread at a time.
class ArchiveWriter {
 public:
  /// Writes the header. `credential` null: not sealed; then the same bytes make the same archive.
  static Result<std::unique_ptr<ArchiveWriter>> begin(WriteBytes out, const repository::Credential* credential,
                                                      const ArchiveSeal& seal = {});
  Status write(std::span<const std::byte> bytes);
  /// Writes the last block. Without it a reader finds the archive cut short.
  Status finish();

 private:
  ArchiveWriter(WriteBytes out, std::array<std::byte, kArchiveHeaderBytes> header, repository::Sealer sealer)
      : out_(std::move(out)), header_(header), sealer_(std::move(sealer)) {}
  Status flush(bool last);

  WriteBytes out_;
  std::array<std::byte, kArchiveHeaderBytes> header_;
  repository::Sealer sealer_;
  repository::SegmentCodec codec_;
  std::vector<std::byte> block_;
  std::vector<std::byte> packed_;
  std::uint64_t number_ = 0;
};

/// Takes any bytes whatsoever. One thread at a time.
class ArchiveReader {
 public:
  /// Reads the header. kCorrupt for what is no archive, kUnsupported for one of a newer version.
  static Result<std::unique_ptr<ArchiveReader>> open(ReadBytes in, const AskCredential& ask);
  /// Fills `out`, with fewer bytes only at the end. kCorrupt where a block was changed or the archive is cut short or
  /// goes on after its last block; kUnauthenticated where the first block of a sealed one does not open.
  Result<std::size_t> read(std::span<std::byte> out);
  [[nodiscard]] bool sealed() const { return sealing_ != repository::Sealing::kNone; }

 private:
  ArchiveReader(ReadBytes in, std::array<std::byte, kArchiveHeaderBytes> header, repository::Sealing sealing,
                repository::Sealer sealer)
      : in_(std::move(in)), header_(header), sealing_(sealing), sealer_(std::move(sealer)) {}
  Status next_block();
  Result<std::size_t> fill(std::span<std::byte> out);

  ReadBytes in_;
  std::array<std::byte, kArchiveHeaderBytes> header_;
  repository::Sealing sealing_;
  repository::Sealer sealer_;
  repository::SegmentCodec codec_;
  std::vector<std::byte> block_;
  std::size_t taken_ = 0;  ///< of block_
  std::vector<std::byte> sealed_;
  std::vector<std::byte> packed_;
  std::uint64_t number_ = 0;
  bool last_ = false;
};

}  // namespace cacs::transfer
