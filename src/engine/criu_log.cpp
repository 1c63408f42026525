#include "engine/criu_log.h"

#include <array>
#include <string>
#include <vector>

#include "base/text.h"

namespace cacs::engine {

namespace {

/// What CRIU's words mean. `pattern` is looked for in an error line.
struct Meaning {
  std::string_view pattern;
  std::string_view what;
  std::string_view hint;
  std::string_view type;
  ErrorCode code;
};

constexpr std::string_view kCloseSocket = "close it before the checkpoint";

constexpr std::array<Meaning, 20> kMeanings{{
    {"No space left on device", "the disk is full", "make room in the state directory", "disk-full",
     ErrorCode::kNoSpace},
    {"Disk quota exceeded", "the disk quota is used up", "make room in the state directory", "disk-full",
     ErrorCode::kNoSpace},
    {"Can't get rlimit", "it runs as another user than root, whose resource limits CACS may not read here",
     "give CACS the capability CAP_SYS_RESOURCE (a setting of this container), or run the program as root",
     "cannot-save", ErrorCode::kUnsupported},
    {"In-flight connection", "a connection waits to be accepted", "try again when the program has taken it",
     "cannot-save", ErrorCode::kConflict},
    {"unix: Dangling connection", "it is connected by a unix socket with a process outside the pod", kCloseSocket,
     "outside-connection", ErrorCode::kUnsupported},
    {"half of stream unix connection", "it is connected by a unix socket with a process outside the pod", kCloseSocket,
     "outside-connection", ErrorCode::kUnsupported},
    {"io_uring", "it uses io_uring, which cannot be saved",
     "let the program use ordinary system calls (many programs have a switch for it)", "cannot-save",
     ErrorCode::kUnsupported},
    {"anon_inode", "it holds a kernel object that cannot be saved", "see `cacs explain` for its name", "cannot-save",
     ErrorCode::kUnsupported},
    {"Can't dump file", "it holds a file or device that cannot be saved", "see `cacs explain` for its name",
     "cannot-save", ErrorCode::kUnsupported},
    {"chr_dev", "it holds a character device that cannot be saved", "close the device, or run without checkpoints",
     "cannot-save", ErrorCode::kUnsupported},
    {"/dev/nvidia", "it uses a GPU", "GPU memory cannot be saved yet", "cannot-save", ErrorCode::kUnsupported},
    {"Mount namespace", "it made a mount namespace of its own that cannot be saved", "run it without nested containers",
     "cannot-save", ErrorCode::kUnsupported},
    {"nested", "it uses nested namespaces that cannot be saved", "run it without nested containers", "cannot-save",
     ErrorCode::kUnsupported},
    {"seized", "it is being traced by another program", "detach the debugger or tracer", "cannot-save",
     ErrorCode::kConflict},
    {"has bad size", "a file is not as it was when the checkpoint was taken", "", "files-differ", ErrorCode::kCorrupt},
    {"has bad build-id", "a program or library is not the one that was saved", "", "files-differ",
     ErrorCode::kConflict},
    {"Can't open file", "a file that was open when the checkpoint was taken is missing", "", "files-differ",
     ErrorCode::kCorrupt},
    {"cpu", "the processor lacks what the program used when it was saved",
     "restore on a machine with the same CPU features", "cpu-incompatible", ErrorCode::kConflict},
    {"Unsupported", "it uses something that cannot be saved", "see `cacs explain`", "cannot-save",
     ErrorCode::kUnsupported},
    {"unsupported", "it uses something that cannot be saved", "see `cacs explain`", "cannot-save",
     ErrorCode::kUnsupported},
}};

/// The message of an error line: "(00.012345) Error (criu/x.c:1): mnt: text" -> "mnt: text".
std::string_view message_of(std::string_view line) {
  const std::size_t error = line.find("Error (");
  if (error == std::string_view::npos) return {};
  const std::size_t end = line.find("): ", error);
  return end == std::string_view::npos ? line.substr(error) : line.substr(end + 3);
}

/// Said in good runs too.
bool is_noise(std::string_view message) {
  return message.find("RLIMIT_NOFILE") != std::string_view::npos || message.find("FAILED.") != std::string_view::npos ||
         message.find("Could not process rule") != std::string_view::npos;
}

std::vector<std::string_view> error_messages(std::string_view log) {
  std::vector<std::string_view> messages;
  std::size_t start = 0;
  while (start < log.size()) {
    std::size_t end = log.find('\n', start);
    if (end == std::string_view::npos) end = log.size();
    const auto message = message_of(log.substr(start, end - start));
    if (!message.empty() && !is_noise(message)) messages.push_back(message);
    start = end + 1;
  }
  return messages;
}

}  // namespace

Error criu_reason(std::string_view log, bool restoring) {
  const std::string doing = restoring ? "the processes could not be restored" : "the processes could not be saved";
  const auto messages = error_messages(log);
  for (const auto message : messages) {
    for (const auto& meaning : kMeanings) {
      if (message.find(meaning.pattern) == std::string_view::npos) continue;
      return make_error(meaning.code,
                        doing + ": " + std::string(meaning.what) + " (" + printable(trim(message), 300) + ")",
                        std::string(meaning.hint))
          .with_type(meaning.type);
    }
  }
  if (messages.empty()) {
    return make_error(ErrorCode::kInternal, doing + ": the engine gave no reason",
                      "the engine's log is kept with the failed checkpoint");
  }
  return make_error(ErrorCode::kUnsupported, doing + ": " + printable(trim(messages.front()), 300),
                    "see `cacs explain` for what stands in the way")
      .with_type(restoring ? "cannot-restore" : "cannot-save");
}

bool criu_reported_failure(std::string_view log) {
  return log.find("Dumping FAILED.") != std::string_view::npos ||
         log.find("Restoring FAILED.") != std::string_view::npos;
}

}  // namespace cacs::engine
