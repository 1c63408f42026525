#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/levels/level_copier.h"
#include "repository/levels/level_record.h"
#include "repository/levels/remote_level.h"
#include "repository/repository.h"

namespace cacs::repository {

inline constexpr std::string_view kLocalLevel = "local";
inline constexpr std::string_view kRemoteLevel = "remote";

/// What is yet to be done, found after a start.
struct LevelsWork {
  std::vector<std::string> copies;    ///< checkpoints that are to be at the remote level and are not, oldest first
  std::vector<std::string> removals;  ///< that are to be removed from every level, and are not yet
  std::vector<std::string> reached;   ///< checkpoints that are at the remote level
};

/// The levels of a repository: its own store (local), and a second one (remote) that has some of its checkpoints. The
/// states of a checkpoint, and what each crash leaves, are in docs/levels.md. Any thread; one copies at a time.
class Levels {
 public:
  /// `local` outlives this. Without `remote` there is one level, and what is known of others is kept.
  Levels(Repository& local, std::shared_ptr<RemoteLevel> remote) : local_(local), remote_(std::move(remote)) {}

  [[nodiscard]] bool has_remote() const { return remote_ != nullptr; }
  /// Copies a checkpoint to the remote level, then notes that it is there. As LevelCopier::copy; kNotFound also for one
  /// that is to be removed, kUnsupported without a remote level.
  Result<CopyResult> copy(std::string_view checkpoint, const CopyOptions& options = {});
  /// "local", "remote": where the checkpoint is, whole. Of the remote level as it was noted; it is asked only for a
  /// checkpoint that is nowhere else.
  Result<std::vector<std::string>> levels_of(std::string_view checkpoint);

  /// Every checkpoint of every level, oldest id first, as Repository::list. A remote level that does not answer is left
  /// out, with a warning, unless this store was made from it: then what is missing here may be there, and the error is
  /// returned.
  Result<std::vector<Summary>> list();

  /// Repository::extend_checkpoint. Where the remote level had the checkpoint, it has it no more: it is to be copied
  /// again. kNotFound also for one that is to be removed.
  Status extend(std::string_view checkpoint, const std::vector<std::string>& pieces, JsonObject meta);

  /// Makes the checkpoint not exist: durably noted first, then removed here. The remote level loses it by
  /// finish_removal(), now or after any crash. Success when there is none; kNotFound if there is no remote level
  /// either.
  Status remove(std::string_view checkpoint);
  /// Whether finish_removal() has anything to do. (Without a remote level it waits for one.)
  Result<bool> is_removing(std::string_view checkpoint);
  Status finish_removal(std::string_view checkpoint);

  /// `wanted`: whether a checkpoint is to be at the remote level. Reads every manifest and record.
  Result<LevelsWork> outstanding(const std::function<bool(const Manifest&)>& wanted);

  /// Removes packs at the remote level that no checkpoint there needs: whole ones alone (copy_plan.h says why). Only
  /// where nobody else copies to it; kUnsupported where its listings may be late, for then a checkpoint might not be
  /// seen.
  Result<CollectResult> collect_remote();

 private:
  /// What a stored byte costs on its way to the remote level counts in whether it is worth compressing
  /// (docs/compression.md). Under the copies' mutex.
  void learn(std::uint64_t bytes, std::chrono::duration<double> spent);
  Status note_reached(std::string_view checkpoint, const std::vector<std::byte>& manifest);
  /// Those that are there and not here.
  Status list_remote(std::vector<Summary>& all);
  [[nodiscard]] bool is_at_remote(const LevelRecord& record) const;

  Repository& local_;
  std::shared_ptr<RemoteLevel> remote_;
  std::mutex records_mutex_;  ///< a record is read and written under it
  std::mutex copy_mutex_;     ///< one copy, removal or collection there at a time
  double sent_bytes_ = 0;     ///< and their seconds, those of earlier copies counting half as much each
  double sent_seconds_ = 0;
};

}  // namespace cacs::repository
