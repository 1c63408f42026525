#include "repository/session/session_keys.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace cacs::repository {

namespace {

constexpr std::string_view kTerms = "sessions/terms/";
constexpr std::string_view kSeats = "sessions/seats/";
constexpr std::string_view kLicences = "sessions/licences/";
constexpr std::string_view kRegisters = "sessions/registers/";
constexpr std::string_view kStates = "sessions/states/";
constexpr std::string_view kCatalogues = "sessions/catalogues/";
constexpr std::string_view kSecond = ".second";

struct Family {
  std::string_view prefix;
  SessionKeyKind kind;
  bool pair;    ///< two numbers
  bool second;  ///< may end in ".second"
};

constexpr std::array<Family, 6> kFamilies{{
    {kTerms, SessionKeyKind::kTerm, false, true},
    {kSeats, SessionKeyKind::kSeat, false, true},
    {kLicences, SessionKeyKind::kLicence, false, false},
    {kRegisters, SessionKeyKind::kRegister, true, false},
    {kStates, SessionKeyKind::kState, false, false},
    {kCatalogues, SessionKeyKind::kCatalogue, true, false},
}};

/// A decimal number as we write it: no sign, no leading zero.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.front() == '0') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

std::string claim_key(Chain chain, std::uint64_t number) {
  return fmt::format("{}{}", chain == Chain::kTerms ? kTerms : kSeats, number);
}
std::string second_key(Chain chain, std::uint64_t number) {
  return fmt::format("{}{}{}", chain == Chain::kTerms ? kTerms : kSeats, number, kSecond);
}
std::string licence_key(std::uint64_t seat) { return fmt::format("{}{}", kLicences, seat); }
std::string register_key(std::uint64_t seat, std::uint64_t number) {
  return fmt::format("{}{}.{}", kRegisters, seat, number);
}
std::string state_key(std::uint64_t term) { return fmt::format("{}{}", kStates, term); }
std::string catalogue_key(std::uint64_t term, std::uint64_t serial) {
  return fmt::format("{}{}.{}", kCatalogues, term, serial);
}

std::optional<SessionKey> parse_session_key(std::string_view key) {
  for (const Family& family : kFamilies) {
    if (!key.starts_with(family.prefix)) continue;
    key.remove_prefix(family.prefix.size());
    const auto number = take_number(key);
    if (!number) return std::nullopt;
    SessionKey result{family.kind, *number, 0};
    if (family.second && key == kSecond) return result;
    if (family.pair) {
      if (!key.starts_with('.')) return std::nullopt;
      key.remove_prefix(1);
      const auto second = take_number(key);
      if (!second) return std::nullopt;
      result.second = *second;
    }
    if (!key.empty()) return std::nullopt;
    return result;
  }
  return std::nullopt;
}

}  // namespace cacs::repository
