#include "net/http_target.h"

#include "base/text.h"

namespace cacs::net {
namespace {

constexpr std::size_t kMaxParts = 64;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Error bad_target(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message), "percent-encode what is not plain in a URL")
      .with_type("bad-target");
}

Result<std::string> decode_text(std::string_view text, bool plus_is_space, std::string_view what) {
  CACS_ASSIGN(std::string decoded, percent_decode(text, plus_is_space));
  if (!is_utf8(decoded)) return bad_target(std::string(what) + " is not UTF-8: " + printable(decoded, 60));
  for (const char c : decoded) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return bad_target(std::string(what) + " holds a control character: " + printable(decoded, 60));
    }
  }
  return decoded;
}

Status parse_query(std::string_view text, Query& query) {
  if (text.empty()) return ok_status();
  for (const std::string& part : split(text, '&')) {
    if (part.empty()) continue;
    if (query.size() >= kMaxParts) return bad_target("more than 64 query parameters");
    const std::string_view view = part;
    const std::size_t equals = view.find('=');
    CACS_ASSIGN(std::string name, decode_text(view.substr(0, equals), true, "query parameter's name"));
    std::string value;
    if (equals != std::string_view::npos) {
      CACS_ASSIGN(value, decode_text(view.substr(equals + 1), true, "query parameter's value"));
    }
    query.emplace_back(std::move(name), std::move(value));
  }
  return ok_status();
}

/// Number of bytes of the UTF-8 sequence at the start of `text`, or 0 where it is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (at(i) < 0x80 || at(i) > 0xbf) return 0;
  }
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

const std::string* find_query(const Query& query, std::string_view name) {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return bad_target("bad percent escape in \"" + printable(text, 60) + "\"");
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4U]);
      out.push_back(kHex[byte & 15U]);
    }
  }
  return out;
}

Result<Target> parse_target(std::string_view target) {
  if (const std::size_t scheme = target.find("://"); scheme != std::string_view::npos && !target.starts_with('/')) {
    const std::size_t slash = target.find_first_of("/?", scheme + 3);
    if (slash == std::string_view::npos) {
      target = "/";
    } else if (target[slash] == '?') {
      return parse_target("/" + std::string(target.substr(slash)));
    } else {
      target = target.substr(slash);
    }
  }
  if (!target.starts_with('/'))
    return bad_target("request target does not begin with a slash: " + printable(target, 60));
  if (target.find('#') != std::string_view::npos) return bad_target("request target has a fragment");
  const std::size_t question = target.find('?');
  Target out;
  for (const std::string& raw :
       split(target.substr(1, question == std::string_view::npos ? question : question - 1), '/')) {
    if (out.segments.size() >= kMaxParts) return bad_target("more than 64 path segments");
    CACS_ASSIGN(std::string segment, decode_text(raw, false, "path"));
    if (segment == "." || segment == "..") return bad_target(R"(path holds a "." or ".." segment)");
    out.segments.push_back(std::move(segment));
  }
  if (!out.segments.empty() && out.segments.back().empty()) out.segments.pop_back();
  for (const std::string& segment : out.segments) out.path += "/" + segment;
  if (out.path.empty()) out.path = "/";
  if (question != std::string_view::npos) CACS_TRY(parse_query(target.substr(question + 1), out.query));
  return out;
}

}  // namespace cacs::net
