#include "repository/session_sealer.h"

#include "base/io.h"
#include "repository/document.h"

namespace cacs::repository {

namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Result<std::vector<std::byte>> TenantSealer::seal(const std::string& name, std::span<const std::byte> plain) {
  return bytes_of(seal_document(DocumentKind::kSession, keys_, name, plain, kSessionDocumentVersion));
}

Result<std::vector<std::byte>> TenantSealer::open(const std::string& name, std::span<const std::byte> sealed) {
  CACS_ASSIGN(const std::string plain,
              open_document(DocumentKind::kSession, keys_, name, sealed, 2 * kMaxSessionDocumentBytes));
  return bytes_of(plain);
}

}  // namespace cacs::repository
