#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/levels/copy_plan.h"
#include "repository/reach.h"
#include "repository/repository.h"

namespace cacs::repository {

struct CopyProgress {
  std::uint64_t bytes_total = 0;  ///< of packs that were found missing
  std::uint64_t bytes_done = 0;   ///< of them; a pack that had to be begun anew counts anew
};

struct CopyOptions {
  std::stop_token stop;                               ///< kAborted: at once, but for an operation under way
  std::function<void(const CopyProgress&)> progress;  ///< is called for each segment; may be null
};

struct CopyResult {
  std::size_t packs = 0;         ///< that the checkpoint needs
  std::size_t packs_copied = 0;  ///< of them by this call
  std::uint64_t bytes_copied = 0;
  std::vector<std::byte> manifest;  ///< as it is there now
};

/// Copies checkpoints of a repository to a second store, as sealed objects under the same names: key slots and
/// descriptor once, then the packs that a checkpoint needs and that are not there, then its manifest. What there is
/// after every step, and why, is in docs/levels.md: **a manifest is there only if all that it needs is there**, so a
/// copy that was interrupted leaves nothing that looks like a checkpoint, and is done again from the start: what is
/// there already is found, and not sent again.
///
/// A copy takes no gate: it is a reader of `from`, as a restore is. A collection may rewrite packs meanwhile (the copy
/// goes on with what is there then), and a long upload holds up nobody. A checkpoint that is extended meanwhile is
/// kUnavailable: try again.
///
/// Collections *there* have to be kept away by the caller, and never rewrite a pack, which kCopyName tells them.
/// Several copiers may work side by side. One thread an object.
class LevelCopier {
 public:
  LevelCopier(Repository& from, Backend& to) : core_(from.core()), to_(to) {}

  /// Key slots that are missing there or older there, kCopyName, and the descriptor. kConflict when another repository
  /// is there.
  Status prepare();
  /// When it returns success the checkpoint is there, whole and durable. kNotFound: it is not here, or was removed
  /// meanwhile. kCorrupt: a part that it needs is damaged here. kConflict: another repository, or another history of
  /// this one, is there. Errors of either store as they are.
  Result<CopyResult> copy(std::string_view checkpoint, const CopyOptions& options = {});
  /// Makes the checkpoint not exist there; success when there is none.
  Status remove(std::string_view checkpoint);

 private:
  struct Job;
  Status check_descriptor(bool& there);
  Status copy_slot(const std::string& name);
  Status copy_all(std::string_view checkpoint, Job& job);
  Status list_there(PacksThere& there);
  /// What is there of a pack of which ours is `pack`: by name, where listings cannot be relied on.
  Result<Generations> look_for(const PackVersion& pack, const PacksThere& listed);
  Status bring(std::uint32_t number, PackStep step, Job& job);
  Status bring_generation(const OpenPack& pack, const PackVersion& object, std::uint32_t number, PackStep step,
                          Job& job);
  Status compare(std::uint32_t number, const PackVersion& there, Job& job);
  Status copy_manifest(std::string_view checkpoint, Job& job);
  /// A failure that came of the checkpoint's removal is told as that.
  Status explain(std::string_view checkpoint, Status status);

  Core& core_;
  Backend& to_;
};

}  // namespace cacs::repository
