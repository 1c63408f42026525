#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "delta/listing.h"
#include "inspect/node.h"
#include "repository/repository.h"

namespace cacs::inspect {

using VisitNode = std::function<Status(std::string_view name, const Node& node)>;

/// One of the directories below a pod, with all that is in it. Immutable; any thread. Paths are relative to it, without
/// slashes at their ends; "" is itself.
class Branch {
 public:
  virtual ~Branch() = default;
  /// Nothing when there is no such name.
  [[nodiscard]] virtual std::optional<Node> find(std::string_view path) const = 0;
  /// The names in a directory, in the order of their bytes; nothing where the path is not one.
  virtual Status list(std::string_view path, const VisitNode& visit) const = 0;
};

/// Orders paths so that what is in a directory follows it at once: as bytes, with the slash below all others.
bool path_before(std::string_view one, std::string_view other);

/// A tree of files by its listing.
class ListingBranch final : public Branch {
 public:
  /// kCorrupt for a listing with a content that is none.
  static Result<std::shared_ptr<const ListingBranch>> make(delta::Listing listing);
  [[nodiscard]] std::optional<Node> find(std::string_view path) const override;
  Status list(std::string_view path, const VisitNode& visit) const override;

  /// All entries by path_before(); the first is the root.
  [[nodiscard]] const std::vector<delta::Entry>& entries() const { return entries_; }
  [[nodiscard]] Node node_of(const delta::Entry& entry) const;

 private:
  struct Leader {
    std::string token;
    std::uint64_t size = 0;
  };
  std::vector<delta::Entry> entries_;
  std::map<std::uint64_t, Leader> leaders_;  ///< of groups of hard links: who has the content
};

/// The files that the engine wrote.
class ImagesBranch final : public Branch {
 public:
  ImagesBranch(std::map<std::string, repository::BlobRef, std::less<>> files, delta::Timestamp time)
      : files_(std::move(files)), time_(time) {}
  [[nodiscard]] std::optional<Node> find(std::string_view path) const override;
  Status list(std::string_view path, const VisitNode& visit) const override;
  [[nodiscard]] const std::map<std::string, repository::BlobRef, std::less<>>& files() const { return files_; }

 private:
  [[nodiscard]] Node node_of(const repository::BlobRef& blob) const;
  std::map<std::string, repository::BlobRef, std::less<>> files_;
  delta::Timestamp time_;
};

}  // namespace cacs::inspect
