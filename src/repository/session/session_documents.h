#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/session/session_types.h"

/// The bytes of the protocol's objects, before they are sealed. docs/collection.md has the table.
namespace cacs::repository {

/// Bounds, of what is written as well as of what is taken.
inline constexpr std::size_t kMaxSessionDocumentBytes = std::size_t{64} << 20U;
inline constexpr std::size_t kMaxRootKeyBytes = 200;
inline constexpr std::size_t kMaxPackNameBytes = 64;
inline constexpr std::size_t kMaxWriterNameBytes = 256;
inline constexpr std::size_t kMaxOpenSessions = 4096;          ///< of a register
inline constexpr std::size_t kMaxSessionRoots = 4096;          ///< of a session
inline constexpr std::size_t kMaxCommittedRoots = 65'536;      ///< of a register
inline constexpr std::size_t kMaxMembers = 65'536;             ///< of a state
inline constexpr std::size_t kMaxCondemnedPacks = 65'536;      ///< of a state
inline constexpr std::size_t kMaxCondemnedRanges = 1'048'576;  ///< of a state, all packs together
inline constexpr std::size_t kMaxCatalogueEntries = 1'048'576;

/// kTooLarge when a bound is passed, kInvalidArgument for names that are no object names.
Result<std::vector<std::byte>> encode_session_document(const SessionDocument& document);

/// `what`: the object's name, for messages. kCorrupt for anything that encode_session_document would not have written,
/// kUnsupported for what a newer version wrote.
Result<SessionDocument> parse_session_document(std::span<const std::byte> bytes, const std::string& what);

/// Seals and opens the bytes of these objects. Any thread. `name` is authenticated with them, so that none can be put
/// in the place of another.
class DocumentSealer {
 public:
  virtual ~DocumentSealer() = default;
  virtual Result<std::vector<std::byte>> seal(const std::string& name, std::span<const std::byte> plain) = 0;
  /// kCorrupt when anything was changed.
  virtual Result<std::vector<std::byte>> open(const std::string& name, std::span<const std::byte> sealed) = 0;
};

}  // namespace cacs::repository
