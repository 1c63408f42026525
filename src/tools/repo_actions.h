#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "repository/retention.h"
#include "tools/repo_place.h"

/// What `cacs repo ...` does, without the parsing of its command line (repo_commands.h). Results are exit codes.
namespace cacs::tools {

struct InitOptions {
  PlaceOptions place;
  std::string sealing = "aes-256-gcm";  ///< as sealing_name() writes it
  bool shared = false;                  ///< several machines write to it; of buckets always so
};
Result<int> run_repo_init(cli::Context& context, const InitOptions& options);

Result<int> run_repo_stat(cli::Context& context, const PlaceOptions& options);

struct CheckOptions {
  PlaceOptions place;
  bool read_data = false;
};
/// Ends with kExitFailure where something is damaged.
Result<int> run_repo_check(cli::Context& context, const CheckOptions& options);

struct GcOptions {
  PlaceOptions place;
  std::string max_garbage = "20%";
};
Result<int> run_repo_gc(cli::Context& context, const GcOptions& options);
/// "20%" is 0.2. kInvalidArgument for what is no share of a whole.
Result<double> parse_share(std::string_view text);

struct ForgetOptions {
  PlaceOptions place;
  std::vector<std::string> checkpoints;                      ///< ids or beginnings of them, instead of a policy
  std::string application;                                   ///< empty: all of them
  std::string last, hourly, daily, weekly, monthly, yearly;  ///< a number or "unlimited"; empty: 0
  std::string within;
  bool remove_all = false;
  bool dry_run = false;
  bool prune = false;
  bool force = false;
};
Result<int> run_repo_forget(cli::Context& context, const ForgetOptions& options);
/// The policy that the options stand for.
Result<repository::RetentionPolicy> policy_of(const ForgetOptions& options);

struct CopyOptions {
  PlaceOptions place;
  std::string to;                        ///< a location
  std::vector<std::string> checkpoints;  ///< ids or beginnings of them; empty: all
  std::string rate;                      ///< bytes a second, as "20M"; empty: no limit
};
/// Ends with kExitFailure where a checkpoint could not be copied for it is damaged; the others are copied.
Result<int> run_repo_copy(cli::Context& context, const CopyOptions& options);

struct KeyCommandOptions {
  PlaceOptions place;
  KeyOptions other;  ///< the new credential (add, passwd), or that of the stale slot (refresh)
  std::vector<std::string> also_passphrase_files;  ///< rotate: of further slots
  std::vector<std::string> also_key_files;
  std::string slot;  ///< remove: id or unique beginning of one
};
Result<int> run_key_list(cli::Context& context, const KeyCommandOptions& options);
Result<int> run_key_add(cli::Context& context, const KeyCommandOptions& options);
Result<int> run_key_remove(cli::Context& context, const KeyCommandOptions& options);
Result<int> run_key_passwd(cli::Context& context, const KeyCommandOptions& options);
Result<int> run_key_rotate(cli::Context& context, const KeyCommandOptions& options);
Result<int> run_key_refresh(cli::Context& context, const KeyCommandOptions& options);

}  // namespace cacs::tools
