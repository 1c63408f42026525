#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Names of the protocol's objects, below the prefix sessions/ of a repository.
namespace cacs::repository {

inline constexpr std::string_view kSessionPrefix = "sessions/";

/// The two chains: numbers 1, 2, 3, ... each taken by one instance at most, without a gap.
enum class Chain : std::uint8_t {
  kTerms,  ///< of collectors; never removed: the way in for everybody who knows nothing yet
  kSeats,  ///< of writers; removed below CollectorState::base when their holders are gone
};

std::string claim_key(Chain chain, std::uint64_t number);
/// The second object of a claim, on a store without exclusive creation.
std::string second_key(Chain chain, std::uint64_t number);
std::string licence_key(std::uint64_t seat);
std::string register_key(std::uint64_t seat, std::uint64_t number);
std::string state_key(std::uint64_t term);
std::string catalogue_key(std::uint64_t term, std::uint64_t serial);

enum class SessionKeyKind : std::uint8_t { kTerm, kSeat, kLicence, kRegister, kState, kCatalogue };

struct SessionKey {
  SessionKeyKind kind = SessionKeyKind::kTerm;
  std::uint64_t number = 0;  ///< term or seat
  std::uint64_t second = 0;  ///< number of the register, serial of the catalogue
};

/// What a name is; nothing when no version of this protocol that we know writes it.
std::optional<SessionKey> parse_session_key(std::string_view key);

}  // namespace cacs::repository
