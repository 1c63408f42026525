#pragma once

#include "repository/keys/tenant_keys.h"
#include "repository/session/session_documents.h"

namespace cacs::repository {

/// Seals the protocol's objects as the repository seals its documents.
class TenantSealer final : public DocumentSealer {
 public:
  explicit TenantSealer(const TenantKeys& keys) : keys_(keys) {}
  Result<std::vector<std::byte>> seal(const std::string& name, std::span<const std::byte> plain) override;
  Result<std::vector<std::byte>> open(const std::string& name, std::span<const std::byte> sealed) override;

 private:
  const TenantKeys& keys_;
};

}  // namespace cacs::repository
