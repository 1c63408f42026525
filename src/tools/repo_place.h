#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "cli/command.h"
#include "repository/backend/location.h"
#include "repository/keys/key_source.h"
#include "repository/unlock.h"

/// From what a command line and an environment say to a repository that is open.
namespace cacs::tools {

/// Options that name a file or command with a secret. Never the secret itself: arguments are shown to every user.
struct KeyOptions {
  std::string passphrase_file;
  std::string passphrase_command;
  std::string key_file;
  [[nodiscard]] bool empty() const { return passphrase_file.empty() && passphrase_command.empty() && key_file.empty(); }
};

struct PlaceOptions {
  std::string location;  ///< empty: $CACS_REPOSITORY, else this node's own repository
  KeyOptions key;
  bool alone = false;  ///< the user says that nobody else writes to it: where there is no lock
};

/// Where a repository is, before anything was read from it.
struct FoundPlace {
  repository::Location location;
  std::filesystem::path directory;  ///< of kDirectory: absolute
  std::filesystem::path key_file;   ///< DIRECTORY.key, where there is one
  bool of_node = false;             ///< an agent keeps its pods' checkpoints there
  bool alone = false;               ///< PlaceOptions::alone

  [[nodiscard]] std::string describe() const { return format_location(location); }
};

/// What was named, else $CACS_REPOSITORY. kInvalidArgument when neither names one.
Result<FoundPlace> named_place(const cli::Context& context, const PlaceOptions& options);
/// The same, or the repository of the one node of this machine whose state is there: of --state or CACS_STATE, else of
/// a server in /var/lib/cacs, else of this user's own.
Result<FoundPlace> find_place(const cli::Context& context, const PlaceOptions& options);

/// Where bytes go. Makes a directory only with kMake; without it kNotFound.
enum class IfMissing { kFail, kMake };
Result<repository::StorePlace> open_place(const FoundPlace& place, IfMissing missing);

/// Where the credential comes from: the options; else the environment (CACS_PASSPHRASE, ...); else the key file beside
/// the repository; else a person at the terminal.
Result<repository::KeySource> key_source(const cli::Context& context, const KeyOptions& options,
                                         const FoundPlace& place);
/// Of the options alone, else a person.
Result<repository::KeySource> key_source_of(const KeyOptions& options);

/// Told how many bytes of it were read so far, one call at a time, by whichever thread read them.
using ReadMeter = std::function<void(std::uint64_t bytes)>;

/// Finds, unlocks and opens. kUnauthenticated when the credential opens no slot.
Result<std::unique_ptr<repository::Repository>> open_found(const cli::Context& context, const PlaceOptions& options,
                                                           const FoundPlace& place, ReadMeter meter = {});

/// kConflict when an agent works in the node whose repository this is. The result, held, keeps agents from starting;
/// it is none for a repository of no node.
Result<UniqueFd> hold_off_agent(const FoundPlace& place);

}  // namespace cacs::tools
