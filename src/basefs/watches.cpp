#include "basefs/watches.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace cacs::basefs {

namespace {

constexpr std::uint32_t kChanges = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |
                                   IN_CREATE | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW;

}  // namespace

Status OpenWatch::start(int root, std::string prefix) {
  prefix_ = std::move(prefix);
  fan_.reset(::fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC | O_NOATIME));
  if (!fan_.valid()) return errno_error(errno, "watch what is opened (fanotify)");
  if (::fanotify_mark(fan_.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN | FAN_OPEN_EXEC | FAN_ONDIR, root,
                      ".") != 0) {
    const Error error = errno_error(errno, "watch what is opened in the overlay (fanotify)");
    fan_.reset();
    return error;
  }
  return {};
}

namespace {

/// FAN_EVENT_NEXT by way of a pointer to void: the kernel keeps events aligned, which a compiler cannot know.
const fanotify_event_metadata* next_event(const fanotify_event_metadata* event, ssize_t& left) {
  left -= static_cast<ssize_t>(event->event_len);
  const void* next = reinterpret_cast<const char*>(event) + event->event_len;
  return static_cast<const fanotify_event_metadata*>(next);
}

}  // namespace

std::vector<OpenWatch::Event> OpenWatch::read(bool& lost) {
  std::vector<Event> events;
  alignas(fanotify_event_metadata) std::array<char, 16384> buffer{};
  const pid_t own = ::getpid();
  while (fan_.valid()) {
    ssize_t length = ::read(fan_.get(), buffer.data(), buffer.size());
    if (length <= 0) break;
    const auto* event = reinterpret_cast<const fanotify_event_metadata*>(buffer.data());
    for (; FAN_EVENT_OK(event, length); event = next_event(event, length)) {
      if ((event->mask & FAN_Q_OVERFLOW) != 0) lost = true;
      const UniqueFd file(event->fd);
      if (!file.valid() || event->pid == own) continue;
      struct stat info {};
      if (::fstat(file.get(), &info) != 0 || (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))) continue;
      std::array<char, 4096> target{};
      const std::string link = "/proc/self/fd/" + std::to_string(file.get());
      const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
      if (size <= 1 || target[0] != '/') continue;
      std::string path(target.data(), static_cast<std::size_t>(size));
      if (!prefix_.empty() && path.starts_with(prefix_ + "/")) path.erase(0, prefix_.size());
      if (!path.ends_with(" (deleted)")) events.push_back({std::move(path), S_ISDIR(info.st_mode)});
    }
  }
  return events;
}

Status ChangeWatch::start() {
  inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid()) return errno_error(errno, "watch the base for changes (inotify)");
  return {};
}

Status ChangeWatch::add(const std::string& base_path, const std::string& directory) {
  const std::lock_guard lock(mutex_);
  if (watches_.count(directory) != 0) return {};
  const int watch = ::inotify_add_watch(inotify_.get(), base_path.c_str(), kChanges);
  if (watch < 0) return errno_error(errno, "watch " + printable(directory) + " for changes");
  watches_[directory] = watch;
  directories_[watch] = directory;
  return {};
}

std::vector<ChangeWatch::Event> ChangeWatch::read(bool& lost) {
  std::vector<Event> events;
  alignas(inotify_event) std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t length = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (length <= 0) return events;
    const std::lock_guard lock(mutex_);
    for (ssize_t at = 0; at < length;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) lost = true;
      const auto found = directories_.find(event.wd);
      if (found == directories_.end()) continue;
      const std::string directory = found->second;
      if ((event.mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED)) != 0) {
        // The name may soon be another directory's.
        if ((event.mask & IN_IGNORED) == 0) ::inotify_rm_watch(inotify_.get(), event.wd);
        watches_.erase(directory);
        directories_.erase(found);
        events.push_back({directory, true});
      } else if (event.len > 0) {
        events.push_back({directory + "/" + name, false});
      }
    }
  }
}

}  // namespace cacs::basefs
