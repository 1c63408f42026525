#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/checkpoint_store.h"
#include "base/result.h"
#include "net/certificates.h"
#include "pod/spec.h"

namespace cacs::agent {

struct AdoptionOptions {
  net::TlsFiles tls;               ///< what this node proves itself by to other agents
  int network_fd = -1;             ///< the namespace from which it reaches them; -1: this process's
  std::filesystem::path key_file;  ///< what opens other nodes' remote levels; empty: nothing does
  std::stop_token stop;            ///< gives up what is under way
  /// Told, by the thread that called bring(), that the part here has got another pod.
  std::function<void(const repository::Manifest& head)> adopted;
};

/// Takes into this node's repository what checkpoints of other nodes have of pods that are to be restored here: from an
/// agent that has it, or from a remote level of a node that does not answer. What comes is chunked and sealed here like
/// anything that is stored, and becomes part of the checkpoint's manifest on this node (docs/nodes.md, *Restores on
/// other nodes*): from then on it is restored, copied and deleted like what was saved here. Any thread; several pods at
/// once.
///
/// A crash leaves a piece that the next agent drops, or the part as it was, or with the pod.
class Adoption {
 public:
  Adoption(CheckpointStore& store, AdoptionOptions options) : store_(store), options_(std::move(options)) {}

  /// When it returns success the pod is in the checkpoint's part here. Blocks for as long as that takes. The sources
  /// are tried one after the other. kNotFound, kCorrupt: none of them has it, or has it sound, and all were asked;
  /// kUnavailable: one could not be asked.
  Status bring(const std::string& checkpoint, const std::string& pod, const std::vector<pod::PartSource>& sources);

 private:
  using Produce = std::function<Status(int out)>;
  Result<bool> is_here(const std::string& checkpoint, const std::string& pod);
  Status take(const std::string& checkpoint, const std::string& pod, const Produce& produce);
  Status fetch(const pod::PartSource& source, int out) const;
  Status read_place(const pod::PartSource& source, const std::string& checkpoint, const std::string& pod,
                    int out) const;
  Status commit(repository::Manifest head, const std::string& piece, const std::string& pod);

  CheckpointStore& store_;
  AdoptionOptions options_;
  std::mutex commit_mutex_;  ///< one manifest is made or extended at a time
};

}  // namespace cacs::agent
