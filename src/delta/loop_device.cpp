#include "delta/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/io.h"
#include "base/text.h"

namespace cacs::delta {
namespace {

constexpr const char* kNoLoopHint =
    "load the kernel module 'loop' (modprobe loop), give the container /dev/loop-control, or put the state directory "
    "on XFS or btrfs";
constexpr std::uint32_t kBlockSize = 4096;
constexpr int kAttempts = 64;

std::filesystem::path device_path(long number) { return "/dev/loop" + std::to_string(number); }

/// The number of the loop device that has `image` attached, or -1.
long find_attached(const std::filesystem::path& image) {
  std::error_code ignored;
  for (const auto& block : std::filesystem::directory_iterator("/sys/block", ignored)) {
    const std::string name = block.path().filename().native();
    if (!name.starts_with("loop")) continue;
    const auto file = read_text_file(block.path() / "loop/backing_file", std::size_t{64} << 10U);
    if (file.ok() && trim(*file) == image.native()) return std::strtol(name.c_str() + 4, nullptr, 10);
  }
  return -1;
}

/// True if configured, false if somebody else took the device first.
Result<bool> configure(int device, int image, const std::filesystem::path& path) {
  struct loop_config config {};
  config.fd = static_cast<std::uint32_t>(image);
  config.block_size = kBlockSize;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  const std::string name = path.native().substr(0, LO_NAME_SIZE - 1);
  std::ranges::copy(name, config.info.lo_file_name);
  if (::ioctl(device, LOOP_CONFIGURE, &config) == 0) return true;
  if (errno == EBUSY) return false;
  if (errno == EINVAL) {  // direct I/O of this block size does not work on the file system below
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device, LOOP_CONFIGURE, &config) == 0) return true;
    if (errno == EBUSY) return false;
  }
  return errno_error(errno, "attach '" + printable(path.native()) + "' to a loop device").with_hint(kNoLoopHint);
}

}  // namespace

Result<LoopDevice> attach_loop(const std::filesystem::path& image) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(image, error);
  if (error) return errno_error(error.value(), "find '" + printable(image.native()) + "'");
  if (const long attached = find_attached(real); attached >= 0) {
    CACS_ASSIGN(UniqueFd fd, open_file(device_path(attached), O_RDWR));
    return LoopDevice{.fd = std::move(fd), .path = device_path(attached)};
  }
  auto control = open_file("/dev/loop-control", O_RDWR);
  if (!control.ok()) {
    Error none = control.error().with_context("use loop devices").with_hint(kNoLoopHint);
    none.code = ErrorCode::kUnsupported;
    return none;
  }
  CACS_ASSIGN(const UniqueFd file, open_file(real, O_RDWR));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
    if (number < 0) return errno_error(errno, "find a free loop device").with_hint(kNoLoopHint);
    auto device = open_file(device_path(number), O_RDWR);
    if (!device.ok()) return device.error().with_hint(kNoLoopHint);
    CACS_ASSIGN(const bool ours, configure(device->get(), file.get(), real));
    if (ours) return LoopDevice{.fd = std::move(*device), .path = device_path(number)};
  }
  return make_error(ErrorCode::kUnavailable, "every free loop device was taken by somebody else first", "try again");
}

std::filesystem::path loop_backing_file(std::uint64_t device_number) {
  const auto file = read_text_file("/sys/dev/block/" + std::to_string(major(device_number)) + ":" +
                                       std::to_string(minor(device_number)) + "/loop/backing_file",
                                   std::size_t{64} << 10U);
  return file.ok() ? std::filesystem::path(std::string(trim(*file))) : std::filesystem::path();
}

Status refresh_loop_size(std::uint64_t device_number) {
  const std::filesystem::path path = device_path(static_cast<long>(minor(device_number)));
  CACS_ASSIGN(const UniqueFd device, open_file(path, O_RDWR));
  struct stat info {};
  if (::fstat(device.get(), &info) != 0 || info.st_rdev != device_number) {
    return make_error(ErrorCode::kInternal, path.native() + " is not the device of the delta store");
  }
  if (::ioctl(device.get(), LOOP_SET_CAPACITY, 0) != 0) return errno_error(errno, "set the size of " + path.native());
  return {};
}

}  // namespace cacs::delta
