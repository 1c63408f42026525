#pragma once

#include <cstdint>
#include <filesystem>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::delta {

/// A file seen as a block device. The kernel detaches it by itself when the last user (this descriptor, a mount) goes,
/// so nothing is left behind by a crash.
struct LoopDevice {
  UniqueFd fd;
  std::filesystem::path path;  ///< /dev/loopN
};

/// Attaches `image`, or opens the device it is attached to already. Past its page cache where the file system below can
/// (otherwise every byte would be cached twice). kUnsupported when this machine gives no loop devices.
Result<LoopDevice> attach_loop(const std::filesystem::path& image);

/// The file behind the block device of this number, or an empty path if it is no loop device.
std::filesystem::path loop_backing_file(std::uint64_t device_number);

/// Tells the device that its file has become longer.
Status refresh_loop_size(std::uint64_t device_number);

}  // namespace cacs::delta
