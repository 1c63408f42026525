#pragma once

#include <filesystem>
#include <string>

namespace cacs::pod {

/// Where things of one pod are, in the node's state directory. `dir` is STATE/pods/UID; `delta` is the pod's folder on
/// the file system for deltas (one that reflinks, where the machine has one).
struct PodLayout {
  std::filesystem::path dir;
  std::filesystem::path delta;

  [[nodiscard]] std::filesystem::path spec() const { return dir / "spec.json"; }
  [[nodiscard]] std::filesystem::path shim_state() const { return dir / "shim.json"; }  ///< who the shim is
  [[nodiscard]] std::filesystem::path init_state() const { return dir / "init.json"; }  ///< who the pod's init is
  [[nodiscard]] std::filesystem::path exit_state() const { return dir / "exit.json"; }  ///< how it ended
  [[nodiscard]] std::filesystem::path cut_state() const {
    return dir / "cut.json";
  }  ///< there while an engine is on it
  /// Sizes of the output before this incarnation wrote any.
  [[nodiscard]] std::filesystem::path log_base() const { return dir / "log_base.json"; }
  /// Locked (flock) by the pod's shim as long as it lives, from before it has a socket: there is never a second one.
  [[nodiscard]] std::filesystem::path shim_lock() const { return dir / "shim.lock"; }
  [[nodiscard]] std::filesystem::path shim_socket() const { return dir / "shim.sock"; }
  [[nodiscard]] std::filesystem::path notify_socket() const { return dir / "notify.sock"; }
  [[nodiscard]] std::filesystem::path shim_log() const { return dir / "shim.log"; }
  [[nodiscard]] std::filesystem::path notify_program() const { return dir / "cacs-notify"; }
  [[nodiscard]] std::filesystem::path merged() const { return dir / "root"; }  ///< the pod's root, in the shim's mounts
  [[nodiscard]] std::filesystem::path dev() const { return dir / "dev"; }      ///< its /dev, likewise
  [[nodiscard]] std::filesystem::path shm() const { return dir / "shm"; }      ///< its /dev/shm, likewise
  [[nodiscard]] std::filesystem::path images(const std::string& checkpoint) const {
    return dir / "images" / checkpoint;
  }
  [[nodiscard]] std::filesystem::path upper() const { return delta / "upper"; }
  [[nodiscard]] std::filesystem::path work() const { return delta / "work"; }
  [[nodiscard]] std::filesystem::path staging() const { return delta / "staging"; }
};

}  // namespace cacs::pod
