// The keeper's thread that copies what was noticed, and looks around it.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "basefs/keeper.h"
#include "basefs/overlay.h"

namespace cacs::basefs {

namespace {

/// Larger ones are kept only if they were opened.
constexpr std::uint64_t kMaxNearFile = std::uint64_t{64} << 20U;
/// Even to read larger ones for their digest would take too long.
constexpr std::uint64_t kMaxDigested = std::uint64_t{4} << 30U;

/// Of links that lead to one file.
constexpr std::size_t kMaxLinks = 64;

/// The program goes first.
void give_way() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 5);
  constexpr int kBestEffortLowest = (2 << 13) | 7;
  ::syscall(SYS_ioprio_set, 1, 0, kBestEffortLowest);
}

}  // namespace

void Keeper::save_loop() {
  give_way();
  Lock lock(mutex_);
  while (true) {
    saving_ = false;
    changed_.notify_all();
    changed_.wait(lock, [&] { return stopping_ || busy(); });
    if (stopping_) return;
    saving_ = true;
    if (!save_first_.empty()) {
      const std::string path = std::move(save_first_.front());
      save_first_.pop_front();
      lock.unlock();
      save(path);
    } else if (!walks_.empty()) {
      const Surroundings where = std::move(walks_.front());
      walks_.pop_front();
      lock.unlock();
      bool whole = true;
      walk(options_.base, where, options_.excluded, [&](const std::string& path) {
        whole = note(path, false);
        const Lock stopped(mutex_);
        return whole && !stopping_;
      });
      if (!whole) {
        warn("not all files of " + printable(where.root) + " are recorded: more than " +
             std::to_string(options_.max_files) + " in all");
      }
    } else {
      const std::string path = std::move(save_later_.front());
      save_later_.pop_front();
      lock.unlock();
      save(path);
    }
    lock.lock();
  }
}

void Keeper::save(const std::string& path) {
  Entry entry;
  bool keep = true;
  {
    const Lock lock(mutex_);
    const auto found = record_.entries.find(path);
    if (found == record_.entries.end() || found->second.saved) return;
    entry = found->second;
    keep = kept_bytes_ + entry.stamp.size <= options_.max_bytes && (entry.opened || entry.stamp.size <= kMaxNearFile);
  }
  if (!keep) {
    warn("contents are not kept beyond " + format_size(options_.max_bytes) + " in all, and " +
         format_size(kMaxNearFile) + " of a file that is only near; " + printable(path) + " is the first");
    if (!entry.opened || entry.stamp.size > kMaxDigested) return;
  }
  const auto fd = open_file(base_path(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat before {};
  struct stat after {};
  bool same = fd && ::fstat(fd->get(), &before) == 0 && stamp_of(before) == entry.stamp;
  Result<std::string> digest = std::string();
  if (same) {
    digest = keep ? contents_.save(fd->get()) : digest_of(fd->get());
    same = ::fstat(fd->get(), &after) == 0 && stamp_of(after) == entry.stamp;
  }
  if (!digest) {
    complain(path, "could not be saved: " + digest.error().message);
    return;
  }
  if (!same || (!entry.digest.empty() && *digest != entry.digest)) {
    if (!hidden_by(options_.upper, path)) complain(path, "changed on the host before it was saved");
    return;
  }
  {
    const Lock lock(mutex_);
    Entry& now = record_.entries[path];
    now.digest = *digest;
    now.saved = keep;
    if (keep) kept_bytes_ += entry.stamp.size;
    journal(entry_line(now));
    entry = now;
  }
  note_links(entry);
  // A change that came before the copy was complete was told, but could not be served then.
  verify(path);
}

/// Libraries and programs are found through links beside them, which an upgrade turns to another version: those that
/// lead to what was opened belong to it. No others: one that leads to something unrecorded must follow the base.
void Keeper::note_links(const Entry& entry) {
  if (!entry.opened) return;
  const std::filesystem::path directory = std::filesystem::path(entry.path).parent_path();
  auto [known, is_new] = links_.try_emplace(directory);
  if (is_new) {
    std::error_code problem;
    for (const auto& item : std::filesystem::directory_iterator(base_path(directory), problem)) {
      if (!item.is_symlink(problem)) continue;
      const std::string target = std::filesystem::read_symlink(item.path(), problem);
      if (!problem && target.find('/') == std::string::npos) known->second.emplace(target, item.path().filename());
    }
  }
  std::vector<std::string> names{std::filesystem::path(entry.path).filename()};
  for (std::size_t i = 0; i < names.size() && i < kMaxLinks; ++i) {
    const auto [first, last] = known->second.equal_range(names[i]);
    for (auto link = first; link != last; ++link) {
      note(directory / link->second, false);
      names.push_back(link->second);
    }
  }
}

}  // namespace cacs::basefs
