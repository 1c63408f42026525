#include "pod/root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "base/text.h"
#include "init/protocol.h"
#include "pod/mpi.h"

namespace cacs::pod {

namespace {

Status do_mount(const std::string& source, const std::filesystem::path& target, const char* type, unsigned long flags,
                const std::string& options = {}) {
  if (::mount(source.c_str(), target.c_str(), type, flags, options.empty() ? nullptr : options.c_str()) != 0) {
    return errno_error(errno, "mount " + source + " on " + target.string());
  }
  return {};
}

struct Device {
  const char* name;
  unsigned major;
  unsigned minor;
};

constexpr std::array<Device, 6> kDevices{
    {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}};

Status make_devices(const std::filesystem::path& dev) {
  for (const auto& device : kDevices) {
    const auto path = dev / device.name;
    if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(device.major, device.minor)) != 0 && errno != EEXIST) {
      return errno_error(errno, "make device " + path.string());
    }
    ::chmod(path.c_str(), 0666);
  }
  for (const auto& [target, name] :
       std::array<std::pair<const char*, const char*>, 5>{{{"pts/ptmx", "ptmx"},
                                                           {"/proc/self/fd", "fd"},
                                                           {"/proc/self/fd/0", "stdin"},
                                                           {"/proc/self/fd/1", "stdout"},
                                                           {"/proc/self/fd/2", "stderr"}}}) {
    if (::symlink(target, (dev / name).c_str()) != 0 && errno != EEXIST) return errno_error(errno, "make /dev links");
  }
  for (const char* name : {"pts", "shm", "mqueue"}) CACS_TRY(make_directories(dev / name));
  return {};
}

/// Parts of /proc and /sys through which root in a pod could change or read the machine.
constexpr std::array<const char*, 5> kReadOnly{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
                                               "/proc/fs"};
constexpr std::array<const char*, 4> kMasked{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"};

Status protect_proc() {
  for (const char* path : kReadOnly) {
    if (::access(path, F_OK) != 0) continue;
    CACS_TRY(do_mount(path, path, nullptr, MS_BIND));
    CACS_TRY(do_mount(path, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
  }
  for (const char* path : kMasked) {
    if (::access(path, F_OK) == 0) CACS_TRY(do_mount("/dev/null", path, nullptr, MS_BIND));
  }
  return {};
}

/// Where the user's mount appears, made in the delta when the base has nothing there.
Status make_mount_point(const std::filesystem::path& target, bool directory) {
  struct stat info {};
  if (::stat(target.c_str(), &info) == 0) return {};
  if (directory) return make_directories(target);
  CACS_TRY(make_directories(target.parent_path()));
  return open_file(target, O_CREAT | O_WRONLY).ok() ? ok_status()
                                                    : Status(errno_error(errno, "make " + target.string()));
}

Status mount_users(const PodLayout& layout, const PodSpec& spec) {
  for (const auto& mount : spec.mounts) {
    struct stat info {};
    if (::stat(mount.source.c_str(), &info) != 0) {
      return make_error(ErrorCode::kInvalidArgument,
                        "mount source " + printable(mount.source) + " does not exist on the node",
                        "make it, or correct `mounts`");
    }
    const std::filesystem::path target = layout.merged().string() + mount.target;
    CACS_TRY(make_mount_point(target, S_ISDIR(info.st_mode)));
    CACS_TRY(do_mount(mount.source, target, nullptr, MS_BIND));
    if (mount.read_only) CACS_TRY(do_mount(mount.source, target, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY));
  }
  return {};
}

std::string resolv_conf(bool egress) {
  if (!egress) return "# this pod has no network outside\n";
  return "nameserver 10.0.2.3\n";  // the forwarder of the egress (network.cpp)
}

std::string hosts_file(const PodSpec& spec) {
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";
  bool named = false;
  for (const auto& host : spec.hosts) {
    text += host.address + " " + host.name + "\n";
    named = named || host.name == spec.pod;
  }
  if (!named) text += spec.address + " " + spec.pod + "\n";
  return text;
}

Status write_delta_file(const std::filesystem::path& upper, const std::string& path, const std::string& content,
                        mode_t mode) {
  const std::filesystem::path target = upper.string() + path;
  CACS_TRY(make_directories(target.parent_path()));
  CACS_ASSIGN(const UniqueFd fd, open_file(target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  CACS_TRY(write_full(fd.get(), content));
  if (::fchmod(fd.get(), mode) != 0) return errno_error(errno, "set the mode of " + path);
  return {};
}

/// A directory of the delta under which nothing of the base shows.
Status make_opaque(const std::filesystem::path& directory) {
  CACS_TRY(make_directories(directory));
  if (::setxattr(directory.c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    return errno_error(errno, "hide " + directory.string());
  }
  return {};
}

/// Directories of the delta cover those of the base: they must have its owner and mode.
Status copy_directory_attributes(const std::filesystem::path& upper, const std::filesystem::path& directory) {
  std::filesystem::path current;
  for (const auto& part : directory) {
    current /= part;
    if (current == "/") continue;
    struct stat info {};
    if (::stat(current.c_str(), &info) != 0) continue;
    const std::string target = upper.string() + current.string();
    if (::chown(target.c_str(), info.st_uid, info.st_gid) != 0 || ::chmod(target.c_str(), info.st_mode & 07777U) != 0) {
      return errno_error(errno, "copy the attributes of " + current.string());
    }
  }
  return {};
}

}  // namespace

Status enter_private_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) return errno_error(errno, "make a mount namespace");
  CACS_TRY(do_mount("none", "/", nullptr, MS_REC | MS_PRIVATE));
  return do_mount("cacs-run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
}

Status mount_pod_tmpfs(const PodLayout& layout, const PodSpec& spec) {
  CACS_TRY(make_directories(layout.dev()));
  CACS_TRY(make_directories(layout.shm()));
  CACS_TRY(do_mount("cacs-dev", layout.dev(), "tmpfs", MS_NOSUID, "mode=755"));
  CACS_TRY(make_devices(layout.dev()));
  const std::string size = spec.memory_bytes > 0 ? ",size=" + std::to_string(spec.memory_bytes) : "";
  return do_mount("cacs-shm", layout.shm(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" + size);
}

Status mount_pod_root(const PodLayout& layout, const PodSpec& spec) {
  for (const auto& dir : {layout.merged(), layout.upper(), layout.work()}) CACS_TRY(make_directories(dir));
  CACS_TRY(do_mount("cacs-root", layout.merged(), "overlay", 0,
                    "lowerdir=/,upperdir=" + layout.upper().string() + ",workdir=" + layout.work().string() +
                        ",index=off,xino=off,redirect_dir=off,metacopy=off"));
  for (const char* name : {"proc", "sys", "dev"}) CACS_TRY(make_directories(layout.merged() / name));
  CACS_TRY(do_mount(layout.dev().string(), layout.merged() / "dev", nullptr, MS_BIND));
  CACS_TRY(do_mount(layout.shm().string(), layout.merged() / "dev/shm", nullptr, MS_BIND));
  return mount_users(layout, spec);
}

std::vector<engine::ExternalMount> external_mounts(const PodLayout& layout, const PodSpec& spec) {
  std::vector<engine::ExternalMount> mounts{{"/dev", "poddev", layout.dev()}, {"/dev/shm", "podshm", layout.shm()}};
  for (std::size_t i = 0; i < spec.mounts.size(); ++i) {
    mounts.push_back({spec.mounts[i].target, "podmount" + std::to_string(i), spec.mounts[i].source});
  }
  return mounts;
}

Status enter_pod_root(const PodLayout& layout, const PodSpec& spec) {
  CACS_TRY(do_mount("none", "/", nullptr, MS_REC | MS_PRIVATE));
  if (::chdir(layout.merged().c_str()) != 0) return errno_error(errno, "enter the pod's root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return errno_error(errno, "pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return errno_error(errno, "leave the machine's root");
  if (::chdir("/") != 0) return errno_error(errno, "chdir /");
  CACS_TRY(do_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  CACS_TRY(do_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY));
  CACS_TRY(do_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
  CACS_TRY(do_mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  CACS_TRY(protect_proc());
  if (::sethostname(spec.pod.c_str(), spec.pod.size()) != 0) return errno_error(errno, "set the host name");
  return {};
}

Status fill_new_delta(const PodLayout& layout, const PodSpec& spec, const std::filesystem::path& init_program) {
  const auto upper = layout.upper();
  CACS_TRY(make_directories(upper));
  ::umask(022);
  for (const char* dir : {CACS_LOG_DIR, CACS_EXEC_DIR}) CACS_TRY(make_directories(upper.string() + dir));
  CACS_ASSIGN(const std::string program, read_text_file(init_program));
  CACS_TRY(write_delta_file(upper, CACS_POD_DIR "/cacs-init", program, 0755));
  CACS_TRY(make_directories(upper / "usr/local/bin"));
  CACS_TRY(copy_directory_attributes(upper, "/usr/local/bin"));
  for (const char* link : {"/usr/local/bin/cacs-pod", CACS_POD_DIR "/cacs-rsh"}) {
    if (::symlink(CACS_POD_DIR "/cacs-init", (upper.string() + link).c_str()) != 0 && errno != EEXIST) {
      return errno_error(errno, std::string("make ") + link);
    }
  }
  for (const auto& file : mpi_files(spec)) CACS_TRY(write_delta_file(upper, file.path, file.content, file.mode));
  for (const char* name : {"stdout", "stderr"}) {
    CACS_TRY(write_delta_file(upper, std::string(CACS_LOG_DIR "/") + name, "", 0644));
  }
  CACS_TRY(write_delta_file(upper, "/etc/hosts", hosts_file(spec), 0644));
  CACS_TRY(write_delta_file(upper, "/etc/hostname", spec.pod + "\n", 0644));
  CACS_TRY(write_delta_file(upper, "/etc/resolv.conf", resolv_conf(spec.egress), 0644));
  CACS_TRY(copy_directory_attributes(upper, "/etc"));
  for (const auto& file : spec.files) {
    CACS_TRY(
        write_delta_file(upper, file.path, file.content, file.mode).context("write the file " + printable(file.path)));
    CACS_TRY(copy_directory_attributes(upper, std::filesystem::path(file.path).parent_path()));
  }
  if (!std::filesystem::exists(spec.workdir) && !spec.files.empty()) {
    CACS_TRY(make_directories(upper.string() + spec.workdir));
  }
  return write_incarnation(layout, spec);
}

Status mask_directory(const PodLayout& layout, const std::filesystem::path& directory) {
  CACS_TRY(make_opaque(layout.upper().string() + directory.string()));
  return copy_directory_attributes(layout.upper(), directory.parent_path());
}

Status write_incarnation(const PodLayout& layout, const PodSpec& spec) {
  const std::string upper = layout.upper().string();
  const std::string from = spec.restore_checkpoint.empty() ? "-" : spec.restore_checkpoint;
  CACS_TRY(write_file_durably(upper + CACS_RESTORED_FROM_FILE, from + "\n", 0644));
  return write_file_durably(upper + CACS_INCARNATION_FILE, std::to_string(spec.incarnation) + "\n", 0644);
}

}  // namespace cacs::pod
