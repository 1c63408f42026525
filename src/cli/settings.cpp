#include "cli/settings.h"

#include <cstdlib>

#include "base/io.h"
#include "base/text.h"

#include <toml++/toml.h>

namespace cacs::cli {

namespace {

constexpr std::string_view kSystemConfig = "/etc/cacs/config.toml";

Error config_error(std::string_view path, std::string_view what, std::string hint) {
  return make_error(ErrorCode::kInvalidArgument,
                    "configuration file " + printable(path, 4096) + ": " + std::string(what), std::move(hint));
}

Error unknown_key(std::string_view path, std::string_view key) {
  std::vector<std::string_view> names;
  for (const auto& known : config_keys()) names.push_back(known.name);
  const auto near = nearest_name(key, names);
  std::string hint = near ? "did you mean '" + *near + "'?" : "known keys:";
  for (std::size_t i = 0; !near && i < names.size(); ++i) hint += (i == 0 ? " " : ", ") + std::string(names[i]);
  return config_error(path, "unknown key '" + printable(key) + "'", hint);
}

template <typename T>
Status take_value(const toml::node& node, std::string_view path, std::string_view key, std::string_view wanted,
                  std::optional<T>& target) {
  const auto value = node.value_exact<T>();
  if (!value) {
    return config_error(path, "'" + std::string(key) + "' must be " + std::string(wanted),
                        "for example " + std::string(key) + (wanted == "a string" ? " = \"...\"" : " = true"));
  }
  target = *value;
  return {};
}

Status take_key(const toml::node& node, std::string_view path, const std::string& key, SettingsLayer& layer) {
  if (key == "server") return take_value(node, path, key, "a string", layer.server);
  if (key == "token") return take_value(node, path, key, "a string", layer.token);
  if (key == "token_file") return take_value(node, path, key, "a string", layer.token_file);
  if (key == "state") return take_value(node, path, key, "a string", layer.state);
  if (key == "output") return take_value(node, path, key, "a string", layer.output);
  if (key == "utc") return take_value(node, path, key, "true or false", layer.utc);
  if (key == "quiet") return take_value(node, path, key, "true or false", layer.quiet);
  if (key == "run.interval") return take_value(node, path, key, "a string", layer.run_interval);
  if (key == "run.keep") {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < 1 || *value > 1'000'000) {
      return config_error(path, "'run.keep' must be a whole number from 1 to 1000000", "for example run.keep = 5");
    }
    layer.run_keep = static_cast<int>(*value);
    return {};
  }
  return unknown_key(path, key);
}

Status take_table(const toml::table& table, std::string_view path, const std::string& prefix, SettingsLayer& layer) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const auto* inner = node.as_table(); inner != nullptr && prefix.empty()) {
      CACS_TRY(take_table(*inner, path, key + ".", layer));
    } else {
      CACS_TRY(take_key(node, path, key, layer));
    }
  }
  return {};
}

std::filesystem::path home_based(const Environment& environment, const std::string& variable, const char* below_home) {
  // The XDG specification: a relative path there is to be ignored.
  if (const auto dir = environment(variable); dir && dir->starts_with('/')) return *dir;
  if (const auto home = environment("HOME")) return std::filesystem::path(*home) / below_home;
  return {};
}

template <typename T>
std::optional<T> first_of(const std::vector<SettingsLayer>& layers, std::optional<T> SettingsLayer::*member) {
  for (const auto& layer : layers) {
    if (layer.*member) return layer.*member;
  }
  return std::nullopt;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = ::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): we never call setenv
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> kKeys{
      {"server", "CACS_SERVER", R"(the server: "http://host:port" or "unix:/path")"},
      {"token", "CACS_TOKEN", "the token for it"},
      {"token_file", "CACS_TOKEN_FILE", "a file whose first line is the token"},
      {"state", "CACS_STATE", "state of the embedded server (default $XDG_STATE_HOME/cacs)"},
      {"output", "CACS_OUTPUT", R"("table" or "json")"},
      {"utc", "", R"(exact times in tables instead of "3m ago")"},
      {"quiet", "", "no progress and no remarks"},
      {"run.interval", "", "time between checkpoints of `cacs run` (default \"5m\")"},
      {"run.keep", "", "checkpoints that `cacs run` keeps"},
  };
  return kKeys;
}

Result<SettingsLayer> parse_config(std::string_view text, std::string_view path) {
  SettingsLayer layer;
  try {
    const toml::table table = toml::parse(text, path);
    CACS_TRY(take_table(table, path, "", layer));
  } catch (const toml::parse_error& problem) {
    return config_error(
        path, "line " + std::to_string(problem.source().begin.line) + ": " + printable(problem.description(), 400),
        "it is TOML: NAME = \"value\", a line each");
  }
  return layer;
}

SettingsLayer environment_layer(const Environment& environment) {
  SettingsLayer layer;
  layer.server = environment("CACS_SERVER");
  layer.token = environment("CACS_TOKEN");
  layer.token_file = environment("CACS_TOKEN_FILE");
  layer.state = environment("CACS_STATE");
  layer.output = environment("CACS_OUTPUT");
  return layer;
}

std::vector<std::filesystem::path> config_paths(const Environment& environment) {
  std::vector<std::filesystem::path> paths;
  const auto user = home_based(environment, "XDG_CONFIG_HOME", ".config");
  if (!user.empty()) paths.push_back(user / "cacs" / "config.toml");
  paths.emplace_back(kSystemConfig);
  return paths;
}

Result<Settings> load_settings(const SettingsLayer& flags, const Environment& environment,
                               const std::optional<std::filesystem::path>& config_file) {
  std::vector<SettingsLayer> layers{flags, environment_layer(environment)};
  const bool named = config_file.has_value();
  for (const auto& path : named ? std::vector{*config_file} : config_paths(environment)) {
    const auto text = read_text_file(path, std::size_t{1} << 20U);
    if (!text && text.error().code == ErrorCode::kNotFound && !named) continue;
    if (!text) return text.error().with_context("read configuration");
    CACS_ASSIGN(SettingsLayer layer, parse_config(*text, path.string()));
    layers.push_back(std::move(layer));
  }
  return merge_settings(layers, environment);
}

Result<Settings> merge_settings(const std::vector<SettingsLayer>& layers, const Environment& environment) {
  Settings settings;
  settings.server = first_of(layers, &SettingsLayer::server).value_or("");
  if (!settings.server.empty()) CACS_TRY(check_server_address(settings.server));
  if (const auto state = first_of(layers, &SettingsLayer::state)) {
    settings.state = std::filesystem::absolute(*state);
    settings.state_given = true;
  } else {
    const auto base = home_based(environment, "XDG_STATE_HOME", ".local/state");
    if (!base.empty()) settings.state = base / "cacs";
  }
  const std::string output = first_of(layers, &SettingsLayer::output).value_or("table");
  if (output != "table" && output != "json") {
    return make_error(ErrorCode::kInvalidArgument, "'" + printable(output) + "' is no output format",
                      "write table or json");
  }
  settings.output = output == "json" ? OutputFormat::kJson : OutputFormat::kTable;
  settings.utc = first_of(layers, &SettingsLayer::utc).value_or(false);
  settings.quiet = first_of(layers, &SettingsLayer::quiet).value_or(false);
  settings.run_interval = first_of(layers, &SettingsLayer::run_interval).value_or(settings.run_interval);
  settings.run_keep = first_of(layers, &SettingsLayer::run_keep);
  // A token and a token file say the same thing: the one from the stronger source wins, the token within one source.
  for (const auto& layer : layers) {
    if (layer.token) {
      settings.token = *layer.token;
      break;
    }
    if (layer.token_file) {
      CACS_ASSIGN(settings.token, read_token_file(*layer.token_file));
      break;
    }
  }
  return settings;
}

Status check_server_address(std::string_view server) {
  constexpr std::string_view kUnix = "unix:/";
  constexpr std::string_view kHttp = "http://";
  const std::string_view host = server.starts_with(kHttp) ? server.substr(kHttp.size()) : std::string_view();
  const bool clean = server.find_first_of(" \t\r\n?#@") == std::string_view::npos;
  if (clean && server.starts_with(kUnix) && server.size() > kUnix.size()) return {};
  if (clean && !host.empty() && host.find('/') == std::string_view::npos) return {};
  return make_error(ErrorCode::kInvalidArgument, "'" + printable(server) + "' is no server address",
                    "write http://host:port or unix:/path/of/server.sock");
}

Result<std::string> read_token_file(const std::filesystem::path& path) {
  auto text = read_text_file(path, 4096);
  if (!text) return text.error().with_context("read the token").with_hint("check CACS_TOKEN_FILE or --token-file");
  const std::string token(trim(std::string_view(*text).substr(0, text->find('\n'))));
  if (token.empty() || printable(token, 4096) != token) {
    return make_error(ErrorCode::kInvalidArgument, "no token in the first line of " + printable(path.string(), 4096));
  }
  return token;
}

}  // namespace cacs::cli
