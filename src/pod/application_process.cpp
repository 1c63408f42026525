#include "pod/application_process.h"

#include <charconv>
#include <filesystem>
#include <string>

#include "base/io.h"
#include "base/text.h"
#include "init/protocol.h"

namespace cacs::pod {

namespace {

constexpr std::size_t kMaxFile = 65536;

/// The pid in the innermost namespace, and the state of the thread; 0 and 'X' for one that is gone.
struct Thread {
  int inner_pid = 0;
  char state = 'X';
};

Thread look_at(const std::filesystem::path& directory) {
  Thread thread;
  const auto status = read_text_file(directory / "status", kMaxFile);
  if (!status) return thread;
  for (const auto& line : split(*status, '\n')) {
    if (line.starts_with("State:")) {
      const std::string state(trim(line.substr(6)));
      if (!state.empty()) thread.state = state.front();
    }
    if (line.starts_with("NSpid:")) {
      const std::string inner(line.substr(line.find_last_of("\t ") + 1));
      std::from_chars(inner.data(), inner.data() + inner.size(), thread.inner_pid);
    }
  }
  return thread;
}

bool ended(char state) { return state == 'Z' || state == 'X'; }

}  // namespace

Result<bool> application_lives(pid_t init) {
  const std::string own = "/proc/" + std::to_string(init);
  CACS_ASSIGN(const std::string children,
              read_text_file(own + "/task/" + std::to_string(init) + "/children", std::size_t{1} << 20U));
  for (const auto& child : split(trim(children), ' ')) {
    const std::filesystem::path directory = "/proc/" + std::string(child);
    const Thread leader = look_at(directory);
    if (leader.inner_pid != CACS_APPLICATION_PID) continue;
    if (!ended(leader.state)) return true;
    // A leader that has ended may have left threads that go on.
    std::error_code problem;
    for (const auto& thread : std::filesystem::directory_iterator(directory / "task", problem)) {
      if (!ended(look_at(thread.path()).state)) return true;
    }
    return false;
  }
  return false;  // init has reaped it and is ending
}

}  // namespace cacs::pod
