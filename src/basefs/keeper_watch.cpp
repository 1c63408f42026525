// The keeper's thread that reads events: what programs open, and what changes in the base under them.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "basefs/in_use.h"
#include "basefs/keeper.h"
#include "basefs/overlay.h"

namespace cacs::basefs {

void Keeper::watch_loop() {
  while (true) {
    std::array<pollfd, 3> waiting{pollfd{wake_.get(), POLLIN, 0}, pollfd{changes_.fd(), POLLIN, 0},
                                  pollfd{opens_.fd(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
      warn("changes of the base are not seen: " + errno_error(errno, "poll").message);
      return;
    }
    std::uint64_t pass = 0;
    {
      const Lock lock(mutex_);
      if (stopping_) return;
      pass = passes_wanted_;
    }
    std::uint64_t count = 0;
    if (::read(wake_.get(), &count, sizeof count) < 0 && errno != EAGAIN) spdlog::warn("the keeper's event descriptor");
    bool opens_lost = false;
    bool changes_lost = false;
    // Changes first: what is opened after one of them is to find the recorded version.
    for (const auto& event : changes_.read(changes_lost)) on_changed(event);
    for (const auto& event : opens_.read(opens_lost)) on_opened(event);
    if (opens_lost && init_ != 0) {
      for (const auto& path : files_in_use(init_)) note(path, true);
    }
    if (changes_lost) verify_tree("");
    const Lock lock(mutex_);
    passes_done_ = std::max(passes_done_, pass);
    changed_.notify_all();
  }
}

void Keeper::on_opened(const OpenWatch::Event& event) {
  if (!is_plain_path(event.path) || hidden_by(options_.upper, event.path)) return;
  if (event.directory) {
    if (const auto where = surroundings_of_directory(options_.base, event.path)) ask_surroundings(*where);
    return;
  }
  note(event.path, true);
}

/// Takes a file of the base into the record; returns false when there is no room for more. One that is there already is
/// compared with the base when it was opened: nothing may tell of the change that came just before.
bool Keeper::note(const std::string& path, bool opened) {
  if (!is_plain_path(path)) return true;
  const auto excluded = [&](const std::string& tree) { return is_within(path, tree); };
  if (std::any_of(options_.excluded.begin(), options_.excluded.end(), excluded)) return true;
  bool known = false;
  {
    const Lock lock(mutex_);
    const auto found = record_.entries.find(path);
    known = found != record_.entries.end();
    if (known && opened && !found->second.opened) {
      found->second.opened = true;
      journal(entry_line(found->second));
    }
    if (!known && record_.entries.size() >= (opened ? 2 : 1) * options_.max_files) return false;
  }
  if (known) {
    if (opened) verify(path);
    return true;
  }
  if (hidden_by(options_.upper, path)) return true;
  const auto directory = std::filesystem::path(path).parent_path();
  // Watched before it is looked at: a change after the look is told.
  if (const auto added = changes_.add(base_path(directory), directory); !added) warn(added.error().message);
  auto entry = look(options_.base, path);
  if (!entry) return true;
  entry->opened = opened;
  {
    const Lock lock(mutex_);
    if (!record_.entries.emplace(path, *entry).second) return true;
    journal(entry_line(*entry));
    if (!entry->link) (opened ? save_first_ : save_later_).push_back(path);
    changed_.notify_all();
  }
  if (opened) {
    if (const auto where = surroundings_of_file(options_.base, path)) ask_surroundings(*where);
  }
  return true;
}

void Keeper::ask_surroundings(const Surroundings& where) {
  const Lock lock(mutex_);
  const std::string key = (where.recursive ? "r" : "f") + where.root;
  for (const auto& done : walked_) {
    if (done == key || (done[0] == 'r' && is_within(where.root, std::string_view(done).substr(1)))) return;
  }
  walked_.push_back(key);
  walks_.push_back(where);
  changed_.notify_all();
}

void Keeper::on_changed(const ChangeWatch::Event& event) {
  if (!event.directory) {
    verify(event.path);
    return;
  }
  verify_tree(event.path);
  // Another directory may be there by now; what it lacks has been put into the overlay.
  if (const auto added = changes_.add(base_path(event.path), event.path);
      !added && added.error().code != ErrorCode::kNotFound) {
    warn(added.error().message);
  }
}

void Keeper::verify_tree(const std::string& tree) {
  std::vector<std::string> paths;
  {
    const Lock lock(mutex_);
    for (const auto& [path, entry] : record_.entries) {
      if (tree.empty() || is_within(path, tree)) paths.push_back(path);
    }
  }
  for (const auto& path : paths) verify(path);
}

void Keeper::verify(const std::string& path) {
  Entry entry;
  {
    const Lock lock(mutex_);
    const auto found = record_.entries.find(path);
    if (found == record_.entries.end()) return;
    entry = found->second;
  }
  // The upper layer is looked at last: most files are the same, and that is known by one call.
  const auto match = compare(options_.base, entry);
  if (match && *match == Match::kSame) return;
  if (hidden_by(options_.upper, path)) return;
  if (!match) {
    complain(path, "could not be compared with the base: " + match.error().message);
    return;
  }
  if (*match == Match::kDiffers) {
    keep_recorded(entry);
    return;
  }
  const auto now = look(options_.base, path);
  const Lock lock(mutex_);
  const auto found = record_.entries.find(path);
  if (!now || found == record_.entries.end() || found->second.stamp != entry.stamp) return;
  found->second.stamp = now->stamp;
  journal(entry_line(found->second));
}

/// The base's file is another than the one recorded: the overlay gets that one.
void Keeper::keep_recorded(const Entry& entry) {
  const Lock no_capture(mask_mutex_);
  if (hidden_by(options_.upper, entry.path)) return;  // another event of the same change was quicker
  if (!entry.link && !entry.saved) {
    complain(entry.path, "changed on the host before it was saved: the program may see the new version");
    return;
  }
  const auto now = look(options_.base, entry.path);
  if (init_ != 0 && now && now->stamp.ino == entry.stamp.ino && now->stamp.dev == entry.stamp.dev &&
      files_in_use(init_).count(entry.path) != 0) {
    complain(entry.path,
             "was overwritten in place on the host while the program had it open: what it reads or maps "
             "through that is the new version");
  }
  if (root_.valid() && copy_up_in_place(root_.get(), entry)) {
    const auto copy = open_file(options_.upper.string() + entry.path, O_RDONLY | O_NOFOLLOW);
    const auto digest = copy ? digest_of(copy->get()) : Result<std::string>(copy.error());
    if (digest && *digest == entry.digest) {
      spdlog::info("base: {} changed on the host; the program keeps its version", printable(entry.path));
      return;
    }
  }
  const auto fill = [&](int fd) -> Status {
    CACS_ASSIGN(const UniqueFd content, contents_.open(entry.digest));
    return copy_file(content.get(), fd);
  };
  const auto masked = root_.valid() ? mask(root_.get(), entry, fill)
                                    : Status(make_error(ErrorCode::kUnavailable, "the overlay is not mounted"));
  if (!masked) {
    complain(entry.path,
             "changed on the host, and its recorded version could not be put in place: " + masked.error().message);
    return;
  }
  spdlog::info("base: {} changed on the host; the program gets its version", printable(entry.path));
}

}  // namespace cacs::basefs
