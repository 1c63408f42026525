#include "agent/explain_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "agent/pod_directory.h"
#include "base/io.h"
#include "base/text.h"
#include "delta/selection.h"
#include "pod/application_process.h"

namespace cacs::agent {

namespace {

constexpr int kDeepest = 64;
constexpr std::uint64_t kMost = 100'000;  ///< files that are counted: this is for people

struct Found {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

/// Goes through what the program is writing to meanwhile: by descriptors, and through no link.
void count(UniqueFd directory, const std::string& path, const delta::Selection& wanted, int depth, Found& found) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(directory.get()), ::closedir);
  if (dir == nullptr) return;
  const int fd = directory.release();  // the stream's now
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || found.files >= kMost) continue;
    const std::string below = path.empty() ? name : path + "/" + name;
    const auto take = wanted.take(below);
    struct stat info {};
    if (take == delta::Selection::Take::kNo || ::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode) && take == delta::Selection::Take::kYes) {
      ++found.files;
      found.bytes += static_cast<std::uint64_t>(info.st_size);
    } else if (S_ISDIR(info.st_mode) && depth < kDeepest) {
      UniqueFd child(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (child.valid()) count(std::move(child), below, wanted, depth + 1, found);
    }
  }
}

JsonObject obstacle(const pod::PodSpec& spec, const Error& error) {
  return {{"kind", error.type.empty() ? "self-saving" : error.type},
          {"process", ""},
          {"what", error.message},
          {"hint", error.hint},
          {"pod", spec.pod}};
}

}  // namespace

Result<JsonObject> explain_files(pid_t init, const pod::PodSpec& spec, const std::filesystem::path& upper) {
  const pod::SelfSaving& saving = *spec.self_saving;
  JsonArray notes;
  JsonArray obstacles;
  notes.emplace_back("asked to save itself by " + saving.way() + (saving.in.empty() ? "" : " in " + saving.in) +
                     ", for which it has " + format_duration(saving.timeout));
  for (const auto& pattern : saving.files) {
    CACS_ASSIGN(UniqueFd root, open_file(upper, O_RDONLY | O_DIRECTORY));
    Found found;
    count(std::move(root), "", delta::Selection({pattern}), 0, found);
    notes.emplace_back(spec.pod + ": " + printable(pattern) + ": " +
                       (found.files == 0 ? "there is no such file yet"
                                         : std::to_string(found.files) + (found.files == 1 ? " file, " : " files, ") +
                                               format_size(found.bytes)));
  }
  if (!saving.signal.empty() && !spec.command.empty()) {
    const Status takes = pod::check_takes_signal(init, pod::signal_number(saving.signal));
    if (!takes) obstacles.push_back(obstacle(spec, takes.error()));
  }
  for (const auto& path : {saving.file, saving.done}) {
    if (path.empty() || !saving.asks(spec.pod)) continue;
    const auto directory = PodDirectory::of(init, path);
    if (!directory) obstacles.push_back(obstacle(spec, directory.error()));
  }
  const bool savable = obstacles.empty();
  return JsonObject{{"savable", savable},
                    {"obstacles", std::move(obstacles)},
                    {"warnings", JsonArray{"what the program does not save itself is not brought back: other files, "
                                           "memory, connections"}},
                    {"notes", std::move(notes)}};
}

}  // namespace cacs::agent
