#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/keys/tenant_keys.h"

/// Small objects: descriptor, manifests, pieces, quarantines, summaries, records of levels.
/// docs/repository-format.md describes each byte. A document is sealed as a whole, and bound to its kind and to the
/// name of its object: put under another name it does not open.
namespace cacs::repository {

inline constexpr std::uint16_t kDocumentVersion = 2;
/// What is written in a repository with sessions (docs/collection.md): a reader that does not know of them must not
/// read, nor collect, there. Also the highest that can be read.
inline constexpr std::uint16_t kSessionDocumentVersion = 3;
inline constexpr std::size_t kDocumentHeaderBytes = 48;
inline constexpr std::size_t kMaxDocumentBytes = std::size_t{16} << 20U;

enum class DocumentKind { kRepository, kManifest, kPiece, kDamage, kSummaries, kLevels, kSession };

/// `name` is that of the object it will be. The version is also the least reader.
std::string encode_document(DocumentKind kind, const TenantKeys& keys, std::string_view name, const JsonObject& body,
                            std::uint16_t version = kDocumentVersion);
/// kCorrupt for what is damaged or lies under another name, kPermission when it was sealed under a key that is not
/// among `keys`, kUnsupported when it was written for a newer reader.
Result<JsonObject> parse_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                                  std::span<const std::byte> bytes);

/// The same around any bytes, at most `limit`.
std::string seal_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                          std::span<const std::byte> body, std::uint16_t version);
Result<std::string> open_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                                  std::span<const std::byte> bytes, std::size_t limit);

/// From and to the store. kNotFound when there is none.
Result<JsonObject> load_document(Backend& backend, DocumentKind kind, const TenantKeys& keys, const std::string& name);
Status store_document(Backend& backend, DocumentKind kind, const TenantKeys& keys, const std::string& name,
                      const JsonObject& body, Overwrite overwrite, std::uint16_t version = kDocumentVersion);

}  // namespace cacs::repository
