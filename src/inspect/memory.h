#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "inspect/branch.h"
#include "inspect/node.h"
#include "repository/repository.h"

namespace cacs::inspect {

/// A process of a checkpoint with its memory.
struct ProcessMemory {
  engine::Process process;
  std::shared_ptr<const SavedMemory> own;  ///< its private pages, by address; null: it has none
};

/// The memory of a pod's processes by the engine's images:
///
///   PID/comm               the kernel's name of the process
///   PID/maps               its regions, one a line: addresses, protection, offset, kind, pages saved / pages, name
///   PID/START-END[.NAME]   a region's bytes; addresses in hexadecimal
///
/// Shared memory shows in every process that maps it. What no process maps is in the engine's images alone.
class MemoryBranch final : public Branch {
 public:
  /// By the pod's images. Of a dump without a process tree: kNotFound.
  static Result<std::shared_ptr<const MemoryBranch>> load(repository::Repository& repository,
                                                          const ImagesBranch& images, delta::Timestamp time);
  [[nodiscard]] std::optional<Node> find(std::string_view path) const override;
  Status list(std::string_view path, const VisitNode& visit) const override;

  [[nodiscard]] const std::map<std::uint32_t, ProcessMemory>& processes() const { return processes_; }
  /// Where the bytes of a region are.
  [[nodiscard]] MemoryWindow window_of(const ProcessMemory& process, const engine::Region& region) const;
  [[nodiscard]] RegionFacts facts_of(const ProcessMemory& process, const engine::Region& region) const;

 private:
  friend class MemoryLoader;
  [[nodiscard]] Node region_node(const ProcessMemory& process, const engine::Region& region) const;
  [[nodiscard]] Node text_node(std::string text) const;
  [[nodiscard]] std::string maps_of(const ProcessMemory& process) const;
  Status list_process(const ProcessMemory& process, const VisitNode& visit) const;

  std::map<std::uint32_t, ProcessMemory> processes_;                    ///< by pid
  std::map<std::uint64_t, std::shared_ptr<const SavedMemory>> shared_;  ///< by Region::shared_id
  delta::Timestamp time_;
};

/// The name of a region's file: its addresses and, after a point, what it is.
std::string region_file_name(const engine::Region& region);
/// "rw-p"
std::string protection_text(const engine::Region& region);

}  // namespace cacs::inspect
