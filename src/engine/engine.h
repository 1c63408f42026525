#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/process.h"
#include "base/result.h"

namespace cacs::engine {

/// What an engine can do. Callers ask for these, never for an engine's name (design, *Engines*).
struct Capabilities {
  bool barrier = false;         ///< can hold tasks frozen after the dump until it is told to go on or abort
  bool multi_pod = false;       ///< a consistent cut over several pods is possible
  bool rootless = false;        ///< works without root
  bool lazy = false;            ///< a restore may start before its pages are there
  bool dirty_tracking = false;  ///< can dump only what changed
  bool network_state = false;   ///< saves and restores TCP connections

  [[nodiscard]] std::vector<std::string> names() const;
};

/// A mount of the pod that the engine must not save: it is captured and brought back by others.
struct ExternalMount {
  std::string target;            ///< path in the pod
  std::string key;               ///< name under which the engine's image refers to it
  std::filesystem::path source;  ///< at restore: what to mount there, in the engine's mount namespace
};

struct DumpRequest {
  pid_t init = 0;                   ///< pid 1 of the pod, as seen from the engine
  std::filesystem::path images;     ///< existing empty directory
  std::uint64_t network_inode = 0;  ///< inode of the pod's network namespace, which is external
  std::vector<ExternalMount> external_mounts;
  std::filesystem::path notify;         ///< program to call at each step; its exit status is obeyed
  std::filesystem::path notify_socket;  ///< handed to it as CACS_NOTIFY
};

struct RestoreRequest {
  std::filesystem::path images;
  std::filesystem::path root;      ///< the pod's root, mounted
  std::filesystem::path pid_file;  ///< gets the host's pid of the pod's init
  int network_fd = -1;             ///< the pod's network namespace
  std::vector<ExternalMount> external_mounts;
  std::vector<std::filesystem::path> cgroups;  ///< the pod's, joined before the engine starts so that limits hold
  std::filesystem::path notify;                ///< as of a dump; empty: nobody is told of the steps
  std::filesystem::path notify_socket;
};

struct ProbeResult {
  bool usable = false;
  std::string version;
  std::string problem;  ///< why it is not usable, and what to do
  Capabilities capabilities;
};

/// Saves and restores a pod's processes by running a program. Building the commands and reading their logs is pure; the
/// shim runs them, because it must own the processes. Immutable; any thread.
class Engine {
 public:
  virtual ~Engine() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  [[nodiscard]] virtual Command dump_command(const DumpRequest& request) const = 0;
  [[nodiscard]] virtual Command restore_command(const RestoreRequest& request) const = 0;
  /// Where the engine logs a dump or restore in its image directory.
  [[nodiscard]] virtual std::filesystem::path dump_log(const std::filesystem::path& images) const = 0;
  [[nodiscard]] virtual std::filesystem::path restore_log(const std::filesystem::path& images) const = 0;
  /// The engine's own reason from its log, for people: what could not be saved, and what to do.
  [[nodiscard]] virtual Error reason(std::string_view log, bool restoring) const = 0;
  /// Whether the log ends in the engine's own, orderly report of failure: then the tasks run on unharmed. Anything else
  /// than this or success leaves doubt, and the pod is tainted (design, principle 4).
  [[nodiscard]] virtual bool reported_failure(std::string_view log) const = 0;
  /// Sets right in the images of a dump what a restore would bring back otherwise than the kernel had it. Between the
  /// end of the dump and its storing; the tasks may run meanwhile. kCorrupt where the images are not the engine's.
  [[nodiscard]] virtual Status mend_images(const std::filesystem::path& images) const = 0;
  /// Runs the engine's own checks of this machine. Blocks up to `limit`.
  virtual ProbeResult probe(std::chrono::milliseconds limit) const = 0;
};

}  // namespace cacs::engine
