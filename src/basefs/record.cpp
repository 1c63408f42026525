#include "basefs/record.h"

#include <algorithm>
#include <charconv>

#include "base/hash.h"
#include "base/text.h"

namespace cacs::basefs {

namespace {

constexpr std::string_view kMagic = "cacs-base-record";
constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kEntryFields = 15;

/// Words of a line are separated by blanks; any other byte than plain ASCII is written as %XX. Nothing is "-".
std::string encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (text.empty()) return "-";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '%' && !(text.size() == 1 && c == '-')) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

bool decode(std::string_view word, std::string& out) {
  out.clear();
  if (word == "-") return true;
  if (word.empty() || word.size() > 3 * kMaxText) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '%') {
      out += word[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= word.size()) return false;
    const auto [end, problem] = std::from_chars(word.data() + i + 1, word.data() + i + 3, value, 16);
    if (problem != std::errc{} || end != word.data() + i + 3) return false;
    out += static_cast<char>(value);
    i += 2;
  }
  return out.size() <= kMaxText;
}

template <typename Number>
bool number(std::string_view word, Number& value) {
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  return problem == std::errc{} && end == word.data() + word.size();
}

bool flags(std::string_view word, Entry& entry) {
  for (const char c : word) {
    if (c == 'o') {
      entry.opened = true;
    } else if (c == 's') {
      entry.saved = true;
    } else if (c != '.') {
      return false;
    }
  }
  return true;
}

bool parse_entry(const std::vector<std::string>& words, Entry& entry) {
  if (words.size() != kEntryFields || (words[0] != "F" && words[0] != "L")) return false;
  entry.link = words[0] == "L";
  if (!decode(words[1], entry.path) || !is_plain_path(entry.path) || !flags(words[2], entry)) return false;
  Stamp& stamp = entry.stamp;
  if (!number(words[3], stamp.dev) || !number(words[4], stamp.ino) || !number(words[5], stamp.size)) return false;
  if (!number(words[6], stamp.mtime_ns) || !number(words[7], stamp.ctime_ns)) return false;
  if (!number(words[8], entry.mode) || entry.mode > 07777U) return false;
  if (!number(words[9], entry.uid) || !number(words[10], entry.gid)) return false;
  if (!decode(words[11], entry.target) || !decode(words[12], entry.digest)) return false;
  if (!decode(words[13], entry.token) || !decode(words[14], entry.problem)) return false;
  if (!entry.digest.empty() && !Digest::from_hex(entry.digest)) return false;
  return entry.link ? !entry.target.empty() : (!entry.saved || !entry.digest.empty());
}

Error bad_line(std::size_t number) {
  return make_error(ErrorCode::kCorrupt, "line " + std::to_string(number) + " of the record of the base is no entry");
}

Status check_header(std::string_view line) {
  const auto words = split(line, ' ');
  int version = 0;
  int reader = 0;
  if (words.size() != 3 || words[0] != kMagic || !number(words[1], version) || !number(words[2], reader)) {
    return make_error(ErrorCode::kCorrupt, "this is no record of a base");
  }
  if (reader <= 1) return {};
  return make_error(ErrorCode::kUnsupported, "the record of the base has version " + std::to_string(version),
                    "use a newer CACS");
}

}  // namespace

Stamp stamp_of(const struct stat& info) {
  const auto ns = [](const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size), ns(info.st_mtim), ns(info.st_ctim)};
}

std::string record_header() { return "cacs-base-record 1 1\n"; }

std::string entry_line(const Entry& entry) {
  const std::string flags = std::string(entry.opened ? "o" : ".") + (entry.saved ? "s" : ".");
  std::string line = (entry.link ? "L " : "F ") + encode(entry.path) + " " + flags;
  const Stamp& stamp = entry.stamp;
  for (const std::uint64_t value : {stamp.dev, stamp.ino, stamp.size}) line += " " + std::to_string(value);
  for (const std::int64_t value : {stamp.mtime_ns, stamp.ctime_ns}) line += " " + std::to_string(value);
  for (const std::uint32_t value : {entry.mode, entry.uid, entry.gid}) line += " " + std::to_string(value);
  for (const auto& text : {entry.target, entry.digest, entry.token, entry.problem}) line += " " + encode(text);
  return line + "\n";
}

std::string warning_line(std::string_view warning) { return "W " + encode(warning.substr(0, kMaxText)) + "\n"; }

std::string serialise(const Record& record) {
  std::string text = record_header();
  for (const auto& warning : record.warnings) text += warning_line(warning);
  for (const auto& [path, entry] : record.entries) text += entry_line(entry);
  return text;
}

Result<Record> parse_record(std::string_view text, bool journal) {
  if (text.size() > kMaxRecordBytes) return make_error(ErrorCode::kTooLarge, "the record of the base is too long");
  Record record;
  std::size_t count = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      if (journal) break;
      return make_error(ErrorCode::kCorrupt, "the record of the base ends within a line");
    }
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (count++ == 0) {
      CACS_TRY(check_header(line));
      continue;
    }
    const auto words = split(line, ' ');
    if (words[0] == "W") {
      std::string warning;
      if (words.size() != 2 || !decode(words[1], warning)) return bad_line(count);
      if (record.warnings.size() < kMaxWarnings) record.warnings.push_back(std::move(warning));
      continue;
    }
    Entry entry;
    if (!parse_entry(words, entry)) return bad_line(count);
    if (record.entries.size() >= kMaxEntries && record.entries.count(entry.path) == 0) {
      return make_error(ErrorCode::kTooLarge, "the record of the base has too many entries");
    }
    std::string path = entry.path;
    record.entries.insert_or_assign(std::move(path), std::move(entry));
  }
  if (count == 0 && !journal) return make_error(ErrorCode::kCorrupt, "the record of the base is empty");
  return record;
}

bool is_plain_path(std::string_view path) {
  if (path.size() < 2 || path.size() > kMaxText || path.front() != '/' || path.back() == '/') return false;
  if (path.find('\0') != std::string_view::npos) return false;
  const auto parts = split(path.substr(1), '/');
  return std::none_of(parts.begin(), parts.end(),
                      [](const std::string& part) { return part.empty() || part == "." || part == ".."; });
}

}  // namespace cacs::basefs
