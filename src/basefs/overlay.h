#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/fd.h"
#include "basefs/record.h"

namespace cacs::basefs {

/// The file or link at `path` below `base` as an entry, without its content. kNotFound when there is none; kUnsupported
/// when it is something else than a regular file or a symbolic link.
Result<Entry> look(const std::filesystem::path& base, const std::string& path);

/// Whether the base's file can still be seen through this upper layer, or the layer has its own (or a whiteout, or a
/// directory that covers it).
bool hidden_by(const std::filesystem::path& upper, const std::string& path);

enum class Match {
  kSame,     ///< not touched
  kRenewed,  ///< another stamp, the same content
  kDiffers,  ///< other content, or gone
};

/// How the base's file compares with what was recorded. Reads the file only when its stamp differs. Without a digest in
/// the entry another stamp means that it differs.
Result<Match> compare(const std::filesystem::path& base, const Entry& entry);

/// Writes the content of a file into an open, empty one.
using Fill = std::function<Status(int fd)>;

/// Makes the recorded file in an upper layer that is not mounted, with its owner, mode and time. Directories on the way
/// get the attributes that they have in the base.
Status serve(const std::filesystem::path& base, const std::filesystem::path& upper, const Entry& entry,
             const Fill& fill);

/// Makes the recorded file in a mounted overlay whose root directory is `root`, as a program in it would: by a rename
/// over what is there, so that who has the old file open keeps it.
Status mask(int root, const Entry& entry, const Fill& fill);

/// If the overlay still holds on to the file that was recorded (its name was found before the base changed, and a file
/// that is in use is not forgotten), makes it the upper layer's without touching the name. Returns whether it did: the
/// caller compares the content then.
bool copy_up_in_place(int root, const Entry& entry);

/// Opens a path of the overlay without ever leaving it through a link.
Result<UniqueFd> open_inside(int root, const std::string& path, int flags);

}  // namespace cacs::basefs
