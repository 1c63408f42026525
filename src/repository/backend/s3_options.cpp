#include "repository/backend/s3_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "repository/backend/object_name.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMinPart = std::size_t{5} << 20U;
constexpr std::size_t kMaxPart = std::size_t{1} << 30U;

Error wrong(std::string_view what, std::string_view value, std::string hint) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("the {} '{}' of an S3 store is wrong", what, printable(value)), std::move(hint));
}

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// As AWS demands, and "_" and upper case of old buckets.
bool is_bucket(std::string_view name) {
  const auto allowed = [](char c) {
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
  };
  return name.size() >= 3 && name.size() <= 255 && std::ranges::all_of(name, allowed) &&
         name.find("..") == std::string_view::npos && name.front() != '.' && name.back() != '.';
}

bool is_host_label_list(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return lower_or_digit(c) || c == '-' || c == '.'; });
}

struct Endpoint {
  std::string scheme;
  std::string host;
  std::string port;  ///< empty: the scheme's own
};

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::string hint = "give scheme, host and perhaps port: https://s3.example.org:9000";
  std::string_view rest = text;
  Endpoint endpoint;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) endpoint.scheme = scheme.substr(0, scheme.size() - 3);
  }
  if (endpoint.scheme.empty()) return wrong("endpoint", text, hint);
  rest.remove_prefix(endpoint.scheme.size() + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t bracket = rest.starts_with('[') ? rest.find(']') : 0;
  if (bracket == std::string_view::npos) return wrong("endpoint", text, hint);
  const std::size_t colon = rest.find(':', bracket);
  endpoint.host = rest.substr(0, colon);
  if (colon != std::string_view::npos) endpoint.port = rest.substr(colon + 1);
  for (char& c : endpoint.host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const auto in_host = [](char c) { return lower_or_digit(c) || c == '-' || c == '.' || c == '_'; };
  const auto in_address = [](char c) { return lower_or_digit(c) || c == ':' || c == '.'; };
  const std::string_view host = endpoint.host;
  const bool good =
      bracket == 0 ? !host.empty() && std::ranges::all_of(host, in_host)
                   : bracket == host.size() - 1 && std::ranges::all_of(host.substr(1, host.size() - 2), in_address);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(endpoint.port.data(), endpoint.port.data() + endpoint.port.size(), port);
  const bool good_port =
      error == std::errc() && end == endpoint.port.data() + endpoint.port.size() && port > 0 && port < 65536;
  if (!good || (colon != std::string_view::npos && !good_port)) return wrong("endpoint", text, hint);
  if (endpoint.port == (endpoint.scheme == "https" ? "443" : "80")) endpoint.port.clear();
  return endpoint;
}

Status check(const S3Options& options) {
  if (!is_bucket(options.bucket)) {
    return wrong("bucket", options.bucket, "3 to 63 lower-case letters, digits, '-' and '.'");
  }
  CACS_TRY(check_prefix(options.prefix).context("prefix of an S3 store"));
  if (!std::ranges::all_of(options.region, [](char c) { return lower_or_digit(c) || c == '-'; })) {
    return wrong("region", options.region, "as in us-east-1");
  }
  if (options.part_bytes < kMinPart || options.part_bytes > kMaxPart) {
    return wrong("size of parts", format_size(options.part_bytes), "5 MiB to 1 GiB");
  }
  return {};
}

void fill(std::string& value, const std::optional<std::string>& from) {
  if (value.empty() && from) value = *from;
}

std::optional<std::string> setting(const AwsProfile& profile, std::string_view name) {
  const auto at = profile.find(name);
  return at == profile.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace

S3Options s3_options(const Location& location) {
  S3Options options;
  options.bucket = location.bucket;
  if (!location.prefix.empty()) options.prefix = location.prefix + "/";
  options.endpoint = location.endpoint;
  options.region = location.region;
  if (location.style == S3Style::kPath) {
    options.addressing = S3Addressing::kPath;
  } else if (!location.endpoint.empty()) {
    options.addressing = S3Addressing::kVirtualHost;
  }
  return options;
}

Status complete_s3_options(S3Options& options, const AwsEnvironment& environment) {
  fill(options.region, environment("AWS_REGION"));
  fill(options.region, environment("AWS_DEFAULT_REGION"));
  fill(options.endpoint, environment("AWS_ENDPOINT_URL_S3"));
  fill(options.endpoint, environment("AWS_ENDPOINT_URL"));
  fill(options.ca_file, environment("AWS_CA_BUNDLE"));
  CACS_ASSIGN(const AwsProfile profile, load_aws_profile(environment));
  fill(options.region, setting(profile, "region"));
  fill(options.endpoint, setting(profile, "s3.endpoint_url"));
  fill(options.endpoint, setting(profile, "endpoint_url"));
  fill(options.ca_file, setting(profile, "ca_bundle"));
  if (options.addressing == S3Addressing::kAuto) {
    const std::string style = setting(profile, "s3.addressing_style").value_or("auto");
    if (style == "path") options.addressing = S3Addressing::kPath;
    if (style == "virtual") options.addressing = S3Addressing::kVirtualHost;
  }
  return {};
}

Result<S3Place> locate(const S3Options& options) {
  CACS_TRY(check(options));
  std::string url = options.endpoint;
  if (url.empty()) url = "https://s3." + (options.region.empty() ? "us-east-1" : options.region) + ".amazonaws.com";
  CACS_ASSIGN(Endpoint endpoint, parse_endpoint(url));
  // A dot in the bucket's name would not match the certificate of *.endpoint.
  const bool fits_host = is_host_label_list(options.bucket) &&
                         (endpoint.scheme == "http" || options.bucket.find('.') == std::string::npos);
  bool virtual_host = options.addressing == S3Addressing::kVirtualHost;
  if (virtual_host && !fits_host) {
    return wrong("bucket", options.bucket, "it cannot be part of a host's name: use path-style addressing");
  }
  if (options.addressing == S3Addressing::kAuto) {
    virtual_host =
        fits_host && (endpoint.host.ends_with(".amazonaws.com") || endpoint.host.ends_with(".amazonaws.com.cn"));
  }
  if (virtual_host) endpoint.host = options.bucket + "." + endpoint.host;
  const std::string host = endpoint.port.empty() ? endpoint.host : endpoint.host + ":" + endpoint.port;
  return S3Place{endpoint.scheme + "://" + host, host,
                 virtual_host ? "/" : "/" + uri_encode(options.bucket, Slash::kEncode) + "/"};
}

}  // namespace cacs::repository
