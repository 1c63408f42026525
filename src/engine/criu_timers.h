#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::engine {

/// Sets right what CRIU's image of open files (files.img) says of timerfds, so that a restore arms them as the kernel
/// had them. The kernel shows a timer by the time that is left, and CRIU brings back just that (docs/engine.md,
/// *Timers*):
///
/// - a periodic timer whose expiry is unread has no time left, and "no time left" would come back as "off"; it gets its
///   interval;
/// - one set to an absolute time that has fired and been read would fire again at once; it stays off;
/// - one set to an absolute time that is still to come would fire up to a second early; it never does.
///
/// Returns the image as it is to be; the same bytes where nothing has to change. Pure. kCorrupt where `image` is not
/// what CRIU writes; bounded by its own length.
Result<std::string> mend_timers(std::string_view image);

/// The same for the images in a directory, after a dump and before they are stored. Without a files.img: kCorrupt.
Status mend_images(const std::filesystem::path& images);

}  // namespace cacs::engine
