#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::cli {

enum class OutputFormat { kTable, kJson };

/// What one source (flags, environment, a file) says. Unset: it says nothing.
struct SettingsLayer {
  std::optional<std::string> server;
  std::optional<std::string> token;
  std::optional<std::string> token_file;
  std::optional<std::string> state;
  std::optional<std::string> output;
  std::optional<bool> utc;
  std::optional<bool> quiet;
  std::optional<std::string> run_interval;
  std::optional<int> run_keep;
};

/// What holds after flags, then environment, then the user's file, then the machine's file.
struct Settings {
  std::string server;  ///< http://host:port or unix:/path; empty: none is configured
  std::string token;   ///< may be empty
  std::filesystem::path state;
  bool state_given = false;  ///< `state` was named, and is not the default
  OutputFormat output = OutputFormat::kTable;
  bool utc = false;
  bool quiet = false;
  std::string run_interval = "5m";
  std::optional<int> run_keep;
};

/// Reads an environment variable; nullopt when it is not set or empty.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment process_environment();

/// One key of the configuration file, for its documentation.
struct ConfigKey {
  std::string_view name;
  std::string_view variable;  ///< the environment variable that stands over it, or empty
  std::string_view meaning;
};
const std::vector<ConfigKey>& config_keys();

/// A configuration file's text (TOML). A key that is not known is an error naming the nearest one; so is a wrong type.
/// `path` is for messages.
Result<SettingsLayer> parse_config(std::string_view text, std::string_view path);

/// The layers of the environment (CACS_SERVER, CACS_TOKEN, CACS_TOKEN_FILE, CACS_STATE, CACS_OUTPUT).
SettingsLayer environment_layer(const Environment& environment);

/// Where configuration is looked for, first the one that wins: $XDG_CONFIG_HOME/cacs/config.toml (default
/// ~/.config), then /etc/cacs/config.toml.
std::vector<std::filesystem::path> config_paths(const Environment& environment);

/// Puts flags over environment over files. With `config_file` only that file is read, and it must be there.
/// A token file that is named must be readable; its first line is the token.
Result<Settings> load_settings(const SettingsLayer& flags, const Environment& environment,
                               const std::optional<std::filesystem::path>& config_file);

/// Merges layers, the first that says something wins.
Result<Settings> merge_settings(const std::vector<SettingsLayer>& layers, const Environment& environment);

/// Checks http://host:port or unix:/path.
Status check_server_address(std::string_view server);

/// The first line of a file that holds a token.
Result<std::string> read_token_file(const std::filesystem::path& path);

}  // namespace cacs::cli
