#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "pod/spec.h"

namespace cacs::agent {

/// The switches on this node (pod/switch.h): one for each application and incarnation that has connected pods here.
/// What keeps one are the shims of its pods, and whoever has it from here; nothing is written down. Any thread.
class Switches {
 public:
  /// `pods`: where the node's pods have their directories. `network`: the namespace of the nodes' network; -1: the one
  /// that the caller is in.
  Switches(std::filesystem::path pods, int network) : pods_(std::move(pods)), network_(network) {}

  /// The namespace of the pod's switch; null for a pod without others.
  /// For one that is being made: a new switch where there is none.
  Result<std::shared_ptr<const UniqueFd>> join(const pod::PodSpec& spec);
  /// For one that was made before: null where no process holds it any more.
  std::shared_ptr<const UniqueFd> find(const pod::PodSpec& spec);

 private:
  std::shared_ptr<const UniqueFd> known(const pod::PodSpec& spec);

  std::filesystem::path pods_;
  int network_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<const UniqueFd>> switches_;
};

}  // namespace cacs::agent
