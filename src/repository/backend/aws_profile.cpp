#include "repository/backend/aws_profile.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/io.h"
#include "base/text.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20U;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// A value without the comment after it: " #" and " ;" begin one.
std::string_view without_comment(std::string_view value) {
  for (std::size_t i = 1; i < value.size(); ++i) {
    if ((value[i] == '#' || value[i] == ';') && is_blank(value[i - 1])) return trim(value.substr(0, i));
  }
  return trim(value);
}

/// The profile that a section's title names; unset for sections of another kind ("sso-session x", "services x").
std::optional<std::string> profile_of(std::string_view title, AwsFile kind) {
  title = trim(title);
  if (kind == AwsFile::kCredentials || title == "default") return std::string(title);
  constexpr std::string_view kPrefix = "profile";
  if (!title.starts_with(kPrefix) || title.size() == kPrefix.size() || !is_blank(title[kPrefix.size()])) {
    return std::nullopt;
  }
  std::string_view name = trim(title.substr(kPrefix.size()));
  if (name.size() >= 2 && name.front() == '"' && name.back() == '"') name = name.substr(1, name.size() - 2);
  return std::string(name);
}

/// Reads line by line; `profile` is null outside of profiles.
class FileParser {
 public:
  explicit FileParser(AwsFile kind) : kind_(kind) {}

  Status line(std::string_view text) {
    ++number_;
    const std::string_view content = trim(text);
    if (content.empty() || content.front() == '#' || content.front() == ';') return {};
    if (content.front() == '[') return section(content);
    return setting(content, is_blank(text.front()));
  }

  std::map<std::string, AwsProfile> profiles;

 private:
  Status section(std::string_view content) {
    const std::size_t end = content.find(']');
    if (end == std::string_view::npos) return wrong("a section without ']'");
    profile_ = nullptr;
    parent_.clear();
    inside_section_ = true;
    if (const auto name = profile_of(content.substr(1, end - 1), kind_)) profile_ = &profiles[*name];
    return {};
  }

  Status setting(std::string_view content, bool nested) {
    const std::size_t equals = content.find('=');
    if (equals == std::string_view::npos || equals == 0) return wrong("neither a section nor a setting");
    if (!inside_section_) return wrong("a setting before the first section");
    const std::string name(trim(content.substr(0, equals)));
    const std::string_view value = without_comment(content.substr(equals + 1));
    if (!nested) parent_ = value.empty() ? name : "";
    if (profile_ == nullptr) return {};
    if (nested && parent_.empty()) return wrong("an indented setting that belongs to none");
    (*profile_)[nested ? parent_ + "." + name : name] = value;
    return {};
  }

  [[nodiscard]] Error wrong(std::string_view what) const {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("line {}: {}", number_, what));
  }

  AwsFile kind_;
  AwsProfile* profile_ = nullptr;
  std::string parent_;  ///< the setting that indented ones belong to
  bool inside_section_ = false;
  std::size_t number_ = 0;
};

std::filesystem::path file_path(const AwsEnvironment& environment, const std::string& variable, const char* name) {
  if (auto path = environment(variable)) return *path;
  const auto home = environment("HOME");
  return home ? std::filesystem::path(*home) / ".aws" / name : std::filesystem::path();
}

/// Of a file that is not there: no profiles.
Result<std::map<std::string, AwsProfile>> read_profiles(const std::filesystem::path& path, AwsFile kind) {
  if (path.empty()) return std::map<std::string, AwsProfile>();
  const auto text = read_text_file(path, kMaxFile);
  if (!text.ok() && (text.error().os_errno == ENOENT || text.error().os_errno == ENOTDIR)) {
    return std::map<std::string, AwsProfile>();
  }
  if (!text.ok()) return text.error().with_context("read AWS settings");
  return parse_aws_file(*text, kind).context("read AWS settings of " + path.string());
}

}  // namespace

AwsEnvironment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Result<std::map<std::string, AwsProfile>> parse_aws_file(std::string_view text, AwsFile kind) {
  FileParser parser(kind);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) {
      CACS_TRY(parser.line(text.substr(0, end)));
    } else {
      CACS_TRY(parser.line(" "));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::move(parser.profiles);
}

Result<AwsProfile> load_aws_profile(const AwsEnvironment& environment) {
  const auto wanted = environment("AWS_PROFILE");
  const std::string name = wanted.value_or("default");
  const auto config_path = file_path(environment, "AWS_CONFIG_FILE", "config");
  const auto credentials_path = file_path(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
  CACS_ASSIGN(auto config, read_profiles(config_path, AwsFile::kConfig));
  CACS_ASSIGN(auto credentials, read_profiles(credentials_path, AwsFile::kCredentials));
  if (wanted && !config.contains(name) && !credentials.contains(name)) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("AWS_PROFILE names the profile '{}', which neither {} nor {} has",
                                  printable(name, 80), config_path.string(), credentials_path.string()),
                      "correct AWS_PROFILE, or add the profile with `aws configure --profile`");
  }
  AwsProfile profile = std::move(credentials[name]);
  // Keys belong together: a token of the one file must not meet the keys of the other.
  const bool has_keys = profile.contains("aws_access_key_id");
  for (auto& [key, value] : config[name]) {
    const bool is_key = key == "aws_access_key_id" || key == "aws_secret_access_key" || key == "aws_session_token";
    if (!has_keys || !is_key) profile.emplace(key, std::move(value));
  }
  return profile;
}

}  // namespace cacs::repository
