#include "inspect/diff.h"

#include <fmt/format.h>

#include <set>

#include "base/text.h"
#include "inspect/diff_memory.h"

namespace cacs::inspect {

namespace {

using repository::BlobRef;
using repository::FileDifference;

BlobRef blob_of(const Node& node) {
  const auto* blob = std::get_if<BlobRef>(&node.content);
  return blob == nullptr ? BlobRef{} : *blob;
}

/// A page map as against a file cut by content: nothing is shared.
bool comparable(const BlobRef& one, const BlobRef& other) {
  const auto pages = [](const BlobRef& blob) { return blob.layout == repository::BlobLayout::kPages; };
  const auto cut = [](const BlobRef& blob) {
    return blob.layout == repository::BlobLayout::kChunk || blob.layout == repository::BlobLayout::kFile;
  };
  return !(pages(one) && cut(other)) && !(cut(one) && pages(other));
}

bool same_attributes(const Node& one, const Node& other) {
  return one.type == other.type && one.mode == other.mode && one.uid == other.uid && one.gid == other.gid &&
         one.mtime == other.mtime && one.target == other.target && one.rdev_major == other.rdev_major &&
         one.rdev_minor == other.rdev_minor && one.opaque == other.opaque;
}

class TreeDiff {
 public:
  TreeDiff(repository::Repository& repository, CheckpointTree& before, CheckpointTree& after, std::string_view path,
           const VisitChange& visit)
      : repository_(repository),
        before_(before),
        after_(after),
        visit_([this, &visit](const Change& change) { return wanted(change.path) ? visit(change) : Status(); }) {
    while (!path.empty() && path.front() == '/') path.remove_prefix(1);
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    path_ = path;
  }

  Status run() {
    const auto there = before_.find(path_);
    const auto there_after = after_.find(path_);
    if (!there && !there_after) return there.error();
    std::set<std::string> pods;
    for (auto* tree : {&before_, &after_}) {
      for (auto& pod : tree->pods()) pods.insert(std::move(pod));
    }
    for (const auto& pod : pods) CACS_TRY(diff_pod(pod));
    return {};
  }

 private:
  /// Whether the path asked for has something to do with this one.
  [[nodiscard]] bool wanted(std::string_view path) const {
    return path_.empty() || path == path_ || path.starts_with(path_ + '/');
  }
  [[nodiscard]] bool worth_a_look(const std::string& path) const {
    return wanted(path) || path_.starts_with(path + '/');
  }

  Status diff_pod(const std::string& pod) {
    std::set<std::string> names;
    for (auto* tree : {&before_, &after_}) {
      for (auto& name : tree->branch_names(pod)) names.insert(std::move(name));
    }
    for (const auto& name : names) {
      const std::string path = pod + '/' + name;
      if (!worth_a_look(path)) continue;
      CACS_ASSIGN(const auto one, branch_of(before_, pod, name));
      CACS_ASSIGN(const auto other, branch_of(after_, pod, name));
      if (name == "memory") {
        CACS_TRY(diff_memory(repository_, path + '/', dynamic_cast<const MemoryBranch*>(one.get()),
                             dynamic_cast<const MemoryBranch*>(other.get()), visit_));
      } else if (name == "images") {
        CACS_TRY(diff_images(path + '/', one.get(), other.get(), names.contains("memory")));
      } else {
        CACS_TRY(diff_listings(path, dynamic_cast<const ListingBranch*>(one.get()),
                               dynamic_cast<const ListingBranch*>(other.get())));
      }
    }
    return {};
  }

  /// Null where the tree has none.
  static Result<std::shared_ptr<const Branch>> branch_of(CheckpointTree& tree, const std::string& pod,
                                                         const std::string& name) {
    for (const auto& there : tree.branch_names(pod)) {
      if (there == name) return tree.branch(pod, name);
    }
    return std::shared_ptr<const Branch>();
  }

  Status compare(const std::string& path, const Node* one, const Node* other) {
    const BlobRef before = one == nullptr ? BlobRef{} : blob_of(*one);
    const BlobRef after = other == nullptr ? BlobRef{} : blob_of(*other);
    Change change{.path = path};
    change.attributes = one != nullptr && other != nullptr && !same_attributes(*one, *other);
    if (one == nullptr || other == nullptr || !comparable(before, after)) {
      change.kind = one == nullptr     ? ChangeKind::kAdded
                    : other == nullptr ? ChangeKind::kRemoved
                                       : ChangeKind::kChanged;
      change.bytes_added = after.size;
      change.bytes_removed = before.size;
      return visit_(change);
    }
    CACS_ASSIGN(const FileDifference found, repository_.compare_files(before, after).context(printable(path)));
    if (found.added == 0 && found.removed == 0 && before.size == after.size && !change.attributes) return {};
    change.bytes_added = found.added;
    change.bytes_removed = found.removed;
    change.exact = found.exact;
    return visit_(change);
  }

  Status diff_listings(const std::string& root, const ListingBranch* one, const ListingBranch* other) {
    static const std::vector<delta::Entry> kNone;
    const auto& before = one == nullptr ? kNone : one->entries();
    const auto& after = other == nullptr ? kNone : other->entries();
    auto left = before.begin();
    auto right = after.begin();
    while (left != before.end() || right != after.end()) {
      const bool only_left = right == after.end() || (left != before.end() && path_before(left->path, right->path));
      const bool only_right = left == before.end() || (right != after.end() && path_before(right->path, left->path));
      const std::string& name = only_right ? right->path : left->path;
      const std::string path = name.empty() ? root : root + '/' + name;
      if (wanted(path)) {
        const auto old_node = only_right ? std::optional<Node>() : one->node_of(*left);
        const auto new_node = only_left ? std::optional<Node>() : other->node_of(*right);
        CACS_TRY(compare(path, old_node ? &*old_node : nullptr, new_node ? &*new_node : nullptr));
      }
      if (!only_right) ++left;
      if (!only_left) ++right;
    }
    return {};
  }

  Status diff_images(const std::string& prefix, const Branch* one, const Branch* other, bool with_memory) {
    std::set<std::string> names;
    for (const Branch* branch : {one, other}) {
      if (branch == nullptr) continue;
      CACS_TRY(branch->list("", [&names](std::string_view name, const Node& /*node*/) -> Status {
        names.emplace(name);
        return {};
      }));
    }
    for (const auto& name : names) {
      // What is in pages files is told by region; the numbers in their names say nothing from one dump to the next.
      if (with_memory && name.starts_with("pages-") && prefix + name != path_) continue;
      auto before = one == nullptr ? std::optional<Node>() : one->find(name);
      auto after = other == nullptr ? std::optional<Node>() : other->find(name);
      if (before && after) before->mtime = after->mtime;  // the checkpoint's
      CACS_TRY(compare(prefix + name, before ? &*before : nullptr, after ? &*after : nullptr));
    }
    return {};
  }

  repository::Repository& repository_;
  CheckpointTree& before_;
  CheckpointTree& after_;
  std::string path_;
  VisitChange visit_;
};

}  // namespace

std::string_view change_kind_name(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return "added";
    case ChangeKind::kRemoved:
      return "removed";
    case ChangeKind::kChanged:
      break;
  }
  return "changed";
}

Status diff_trees(repository::Repository& repository, CheckpointTree& before, CheckpointTree& after,
                  std::string_view path, const VisitChange& visit) {
  return TreeDiff(repository, before, after, path, visit).run();
}

}  // namespace cacs::inspect
