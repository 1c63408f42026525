#include "repository/backend/location.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/text.h"
#include "repository/backend/object_name.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

Error wrong(std::string_view why, std::string_view part, std::string hint) {
  return make_error(ErrorCode::kInvalidArgument,
                    "where the repository is: " + std::string(why) + ": '" + printable(part) + "'", std::move(hint));
}

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::optional<unsigned> hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10U;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10U;
  return std::nullopt;
}

Result<std::string> decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto high = i + 1 < text.size() ? hex_value(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? hex_value(text[i + 2]) : std::nullopt;
    if (!high || !low) return wrong("a '%' without two hexadecimal digits", text, "write %25 for a percent sign");
    out += static_cast<char>(*high << 4U | *low);
    i += 2;
  }
  return out;
}

/// `keep`: characters that stand for themselves besides letters, digits and "-._~".
std::string encode(std::string_view text, std::string_view keep) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || std::string_view("-._~").find(c) != std::string_view::npos ||
        keep.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kHexDigits[byte >> 4U];
      out += kHexDigits[byte & 15U];
    }
  }
  return out;
}

Result<Location> directory(std::string path, std::string_view text) {
  if (path.find('\0') != std::string::npos) return wrong("a path with a zero byte", text, "name a directory");
  if (has_control(path)) return wrong("a path with control characters", text, "name a directory without them");
  return Location{.kind = Location::Kind::kDirectory, .path = std::move(path)};
}

Result<Location> parse_file(std::string_view rest, std::string_view text) {
  if (!rest.starts_with('/')) {
    return wrong("file:// names a host or no absolute path", text, "write file:///path, or the path alone");
  }
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return wrong("file:// takes no parameters", text, "write %3F for '?' and %23 for '#' in a path");
  }
  CACS_ASSIGN(std::string path, decode(rest));
  return directory(std::move(path), text);
}

Status check_bucket(std::string_view bucket) {
  const bool sound = bucket.size() >= 3 && bucket.size() <= 63 && is_lower_alnum(bucket.front()) &&
                     is_lower_alnum(bucket.back()) && bucket.find("..") == std::string_view::npos &&
                     std::ranges::all_of(bucket, [](char c) { return is_lower_alnum(c) || c == '-' || c == '.'; });
  if (!sound) {
    return wrong("not the name of a bucket", bucket,
                 "write s3://BUCKET or s3://BUCKET/PREFIX; a bucket has 3 to 63 lower-case letters, digits, '-', '.'");
  }
  return {};
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  return problem == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

/// A host name or an IPv4 address, or an IPv6 address in brackets.
bool is_host(std::string_view host) {
  if (host.starts_with('[')) {
    return host.size() > 3 && host.ends_with(']') && std::ranges::all_of(host.substr(1, host.size() - 2), [](char c) {
             return hex_value(c) || c == ':' || c == '.';
           });
  }
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         std::ranges::all_of(host, [](char c) {
           return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
         });
}

Status check_endpoint(std::string_view endpoint) {
  constexpr const char* kHint = "write endpoint=https://HOST or endpoint=https://HOST:PORT (or http://)";
  if (endpoint.find('@') != std::string_view::npos) {
    return wrong("credentials do not belong into a location", "endpoint=...@...",
                 "give them in the environment or in a file of credentials");
  }
  std::string_view rest = endpoint;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return wrong("an endpoint without http:// or https://", endpoint, kHint);
  }
  const std::size_t bracket = rest.find(']');
  const std::size_t colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (!is_host(rest.substr(0, colon)) || (colon != std::string_view::npos && !is_port(rest.substr(colon + 1)))) {
    return wrong("not an endpoint", endpoint, kHint);
  }
  return {};
}

Status set_parameter(Location& location, std::string_view key, const std::string& value, bool& has_style) {
  if (key == "endpoint") {
    CACS_TRY(check_endpoint(value));
    location.endpoint = value;
  } else if (key == "region") {
    if (value.empty() || value.size() > 64 ||
        !std::ranges::all_of(value, [](char c) { return is_lower_alnum(c) || c == '-' || c == '_'; })) {
      return wrong("not the name of a region", value, "as in region=eu-central-1");
    }
    location.region = value;
  } else if (key == "style") {
    if (value != "path" && value != "virtual") return wrong("not a style", value, "style=path or style=virtual");
    location.style = value == "path" ? S3Style::kPath : S3Style::kVirtualHost;
    has_style = true;
  } else {
    constexpr std::array<std::string_view, 3> kKeys{"endpoint", "region", "style"};
    const auto nearest = nearest_name(key, kKeys);
    return wrong("an unknown parameter", key,
                 nearest ? "did you mean " + *nearest + "=?" : "there are endpoint=, region= and style=");
  }
  return {};
}

Status parse_parameters(Location& location, std::string_view query) {
  bool has_style = false;
  std::vector<std::string> seen;
  for (const auto& pair : split(query, '&')) {
    const std::size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    if (equals == std::string::npos) return wrong("a parameter without a value", pair, "write NAME=VALUE");
    if (std::ranges::find(seen, key) != seen.end()) return wrong("a parameter given twice", key, "give it once");
    seen.push_back(key);
    CACS_ASSIGN(const std::string value, decode(std::string_view(pair).substr(equals + 1)));
    CACS_TRY(set_parameter(location, key, value, has_style));
  }
  if (!has_style && !location.endpoint.empty()) location.style = S3Style::kPath;
  return {};
}

Result<Location> parse_s3(std::string_view rest, std::string_view text) {
  if (rest.find('#') != std::string_view::npos) return wrong("a '#' has no meaning here", text, "leave it out");
  const std::size_t question = rest.find('?');
  const std::string_view place = rest.substr(0, question);
  if (place.find('@') != std::string_view::npos) {
    return wrong("credentials do not belong into a location", "s3://...@...",
                 "give them in the environment or in a file of credentials");
  }
  const std::size_t slash = place.find('/');
  Location location{.kind = Location::Kind::kS3, .bucket = std::string(place.substr(0, slash))};
  CACS_TRY(check_bucket(location.bucket));
  if (slash != std::string_view::npos) {
    std::string_view prefix = place.substr(slash + 1);
    if (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (!prefix.empty() && !check_object_name(prefix)) {
      return wrong("not a prefix for objects' names", prefix,
                   "components of letters, digits, '.', '_' and '-', joined by '/', at most 200 bytes");
    }
    location.prefix = prefix;
  }
  if (question != std::string_view::npos) CACS_TRY(parse_parameters(location, rest.substr(question + 1)));
  return location;
}

}  // namespace

Result<Location> parse_location(std::string_view text) {
  constexpr const char* kHint = "write /path, file:///path or s3://bucket/prefix";
  if (text.empty()) return make_error(ErrorCode::kInvalidArgument, "where the repository is: nothing was given", kHint);
  if (text.size() > kMaxLocation) {
    return wrong("longer than the " + std::to_string(kMaxLocation) + " bytes that it may have", text.substr(0, 40),
                 kHint);
  }
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos) {
    if (text.starts_with("s3:") || text.starts_with("file:")) {
      return wrong("a scheme without '//'", text, kHint);  // else it would become an odd directory
    }
    return directory(std::string(text), text);
  }
  const std::string_view scheme = text.substr(0, mark);
  const std::string_view rest = text.substr(mark + 3);
  // Only what can be a scheme: "/data/http://x" is an odd path, but a path.
  if (scheme.find('/') != std::string_view::npos) return directory(std::string(text), text);
  if (scheme == "file") return parse_file(rest, text);
  if (scheme == "s3") return parse_s3(rest, text);
  return make_error(ErrorCode::kUnsupported,
                    "where the repository is: there is no kind of store '" + printable(scheme) + "'", kHint);
}

std::string format_location(const Location& location) {
  if (location.kind == Location::Kind::kDirectory) {
    // A path that does not show that it is one.
    const bool plain = parse_location(location.path).ok() && parse_location(location.path)->path == location.path;
    return plain ? location.path : "file://" + encode(location.path, "/");
  }
  std::string text = "s3://" + location.bucket;
  if (!location.prefix.empty()) text += "/" + location.prefix;
  char separator = '?';
  const auto add = [&](std::string_view key, std::string_view value) {
    text += separator;
    text.append(key).append(1, '=').append(encode(value, ":/[]"));
    separator = '&';
  };
  if (!location.endpoint.empty()) add("endpoint", location.endpoint);
  if (!location.region.empty()) add("region", location.region);
  const S3Style usual = location.endpoint.empty() ? S3Style::kVirtualHost : S3Style::kPath;
  if (location.style != usual) add("style", location.style == S3Style::kPath ? "path" : "virtual");
  return text;
}

}  // namespace cacs::repository
