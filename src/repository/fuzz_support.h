#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "repository/backend/backend.h"

namespace cacs::repository {

/// For fuzzers: a store of at most one object, to which nothing can be written.
class OneObjectBackend final : public Backend {
 public:
  OneObjectBackend() = default;
  OneObjectBackend(std::string name, std::span<const std::byte> bytes)
      : name_(std::move(name)), bytes_(bytes.begin(), bytes.end()) {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& /*name*/, Overwrite /*overwrite*/) override {
    return make_error(ErrorCode::kPermission, "read only");
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    if (name_.empty() || name != name_) return make_error(ErrorCode::kNotFound, "no " + name);
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), bytes_.size() - offset);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  }
  Result<std::uint64_t> size(const std::string& name) override {
    if (name_.empty() || name != name_) return make_error(ErrorCode::kNotFound, "no " + name);
    return bytes_.size();
  }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    if (name_.empty() || !name_.starts_with(prefix)) return {};
    return visitor({.name = name_, .size = bytes_.size()});
  }
  Status remove(const std::string& /*name*/) override { return make_error(ErrorCode::kPermission, "read only"); }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return "one object"; }

 private:
  std::string name_;
  std::vector<std::byte> bytes_;
  BackendTraits traits_;
};

/// Ends the fuzzer with a finding.
inline void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace cacs::repository
