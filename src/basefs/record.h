#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

/// What a program depends on in a root file system that may change under it (a *base*: the node's own root, say). This
/// component notices which files of the base are opened, keeps what they held, and serves that when the base has
/// changed: by a copy in the overlay's upper layer, in the running root or before a new one is mounted. It knows
/// overlays and files; neither pods nor where saved contents are stored in the end. docs/basefs.md
namespace cacs::basefs {

/// Tells one state of a file of the base from another without reading it.
struct Stamp {
  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;

  friend bool operator==(const Stamp&, const Stamp&) = default;
};

Stamp stamp_of(const struct stat& info);

/// One file or symbolic link of the base as the program first saw it.
struct Entry {
  std::string path;  ///< absolute, resolved, as inside the root
  bool link = false;
  bool opened = false;  ///< really used; else only near something that was
  bool saved = false;   ///< the content of `digest` is kept, so it can be served
  Stamp stamp;
  std::uint32_t mode = 0;  ///< permission bits
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string target;   ///< of a link
  std::string digest;   ///< SHA-256 in hex of a file's content; empty: not read (yet)
  std::string token;    ///< what the place of storage calls the content; empty: not stored yet
  std::string problem;  ///< why it cannot be served, or was not in time; empty: nothing
};

/// Everything recorded of one root. A value; its text form is versioned and read with bounds.
struct Record {
  std::map<std::string, Entry> entries;
  std::vector<std::string> warnings;  ///< what was left out, for people
};

constexpr std::size_t kMaxEntries = 60'000;
constexpr std::size_t kMaxWarnings = 100;
constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 20U;

/// First line of a record: magic, version, oldest reader.
std::string record_header();
/// One line, its line break included.
std::string entry_line(const Entry& entry);
std::string warning_line(std::string_view warning);

std::string serialise(const Record& record);

/// kCorrupt for what no writer of ours wrote, kUnsupported for a newer version, kTooLarge past the bounds. A later line
/// of a path replaces an earlier one, so that a journal of lines is a record; with `journal`, a last line that is
/// incomplete (its writer was killed) is passed over.
Result<Record> parse_record(std::string_view text, bool journal = false);

/// Absolute, without "." and "..", empty components or NUL: what may be joined to a root.
bool is_plain_path(std::string_view path);

}  // namespace cacs::basefs
