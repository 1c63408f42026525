#include "inspect/tree.h"

#include <fmt/format.h>

#include <ctime>

#include "base/text.h"
#include "basefs/record.h"
#include "repository/manifest.h"
#include "transfer/tokens.h"

namespace cacs::inspect {

namespace {

constexpr std::size_t kMaxListing = std::size_t{1} << 30U;
constexpr char kManifestFile[] = "manifest.json";
constexpr std::string_view kListing = ".listing";

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && name.size() <= delta::kMaxNameBytes;
}

delta::Timestamp time_of(const std::string& rfc3339) {
  std::tm parts{};
  if (::strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return {};
  return {.seconds = ::timegm(&parts)};
}

/// The base's files that are kept, as a tree: their folders are made up.
delta::Listing listing_of(const basefs::Record& record, delta::Timestamp time) {
  delta::Listing listing;
  std::set<std::string, std::less<>> made{""};
  listing.entries.push_back({.path = "", .type = delta::EntryType::kDirectory, .mode = 0555, .mtime = time});
  for (const auto& [path, file] : record.entries) {
    if (!file.link && file.token.empty()) continue;
    const std::string relative = path.substr(1);
    for (std::size_t slash = relative.find('/'); slash != std::string::npos; slash = relative.find('/', slash + 1)) {
      std::string folder = relative.substr(0, slash);
      if (!made.insert(folder).second) continue;
      listing.entries.push_back(
          {.path = std::move(folder), .type = delta::EntryType::kDirectory, .mode = 0555, .mtime = time});
    }
    if (!made.insert(relative).second) continue;
    delta::Entry entry{.path = relative,
                       .type = file.link ? delta::EntryType::kSymlink : delta::EntryType::kRegular,
                       .mode = file.mode,
                       .uid = file.uid,
                       .gid = file.gid,
                       .mtime = time};
    entry.symlink_target = file.target;
    entry.token = file.link ? "" : file.token;
    entry.size = file.stamp.size;
    listing.entries.push_back(std::move(entry));
  }
  return listing;
}

}  // namespace

/// The parts of a path: POD/BRANCH/REST.
struct CheckpointTree::Path {
  explicit Path(std::string_view path) {
    while (!path.empty() && path.front() == '/') path.remove_prefix(1);
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    pod = next(path);
    branch = next(path);
    rest = path;
  }
  std::string pod;
  std::string branch;
  std::string rest;

 private:
  static std::string next(std::string_view& path) {
    const std::size_t slash = path.find('/');
    std::string name(path.substr(0, slash));
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    return name;
  }
};

CheckpointTree::CheckpointTree(repository::Repository& repository, repository::Manifest manifest)
    : repository_(repository), manifest_(std::move(manifest)), time_(time_of(manifest_.created_at)) {
  for (const auto& entry : manifest_.entries) {
    const std::string_view name = entry.name;
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos || !is_plain_name(name.substr(0, slash)) ||
        name.substr(0, slash) == kManifestFile)
      continue;
    auto& branches = pods_[std::string(name.substr(0, slash))];
    const std::string_view rest = name.substr(slash + 1);
    if (rest.ends_with(kListing) && is_plain_name(rest)) {
      const std::string tree(rest.substr(0, rest.size() - kListing.size()));
      if (is_plain_name(tree)) branches.emplace(tree == "delta" ? "files" : tree, tree);
    } else if (rest == "base.record") {
      branches.emplace("base", "base");
    } else if (rest.starts_with("images/")) {
      branches.emplace("images", "images");
      if (rest == "images/pstree.img") branches.emplace("memory", "memory");
    }
  }
}

Result<std::shared_ptr<CheckpointTree>> CheckpointTree::open(repository::Repository& repository,
                                                             std::string_view checkpoint) {
  CACS_ASSIGN(auto manifest, repository.load(checkpoint));
  return std::shared_ptr<CheckpointTree>(new CheckpointTree(repository, std::move(manifest)));
}

std::vector<std::string> CheckpointTree::pods() const {
  std::vector<std::string> names;
  for (const auto& [name, branches] : pods_) names.push_back(name);
  return names;
}

std::vector<std::string> CheckpointTree::branch_names(const std::string& pod) const {
  std::vector<std::string> names;
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return names;
  for (const auto& [name, stored] : found->second) names.push_back(name);
  return names;
}

Error CheckpointTree::not_found(std::string_view path) const {
  return make_error(ErrorCode::kNotFound, fmt::format("checkpoint {} has no {}", manifest_.checkpoint, printable(path)),
                    "`cacs checkpoint ls-files` lists what it has");
}

Node CheckpointTree::manifest_node() const {
  JsonObject json = repository::manifest_to_json({.head = manifest_, .entry_count = manifest_.entries.size()});
  json.erase("entries");
  auto text = std::make_shared<const std::string>(boost::json::serialize(json) + '\n');
  return {.type = delta::EntryType::kRegular, .mode = 0444, .mtime = time_, .size = text->size(), .content = text};
}

Result<Node> CheckpointTree::find(std::string_view path) {
  const Path parts(path);
  if (parts.pod.empty()) return directory();
  if (parts.pod == kManifestFile && parts.branch.empty() && parts.rest.empty()) return manifest_node();
  const auto pod = pods_.find(parts.pod);
  if (pod == pods_.end()) return not_found(path);
  if (parts.branch.empty() && parts.rest.empty()) return directory();
  if (!pod->second.contains(parts.branch)) return not_found(path);
  CACS_ASSIGN(const auto below, branch(parts.pod, parts.branch));
  auto node = below->find(parts.rest);
  if (!node) return not_found(path);
  return *std::move(node);
}

Status CheckpointTree::list(std::string_view path, const VisitNode& visit) {
  const Path parts(path);
  CACS_ASSIGN(const Node node, find(path));
  if (node.type != delta::EntryType::kDirectory) {
    return make_error(ErrorCode::kInvalidArgument, printable(path) + " is not a directory");
  }
  if (parts.pod.empty()) {
    CACS_TRY(visit(kManifestFile, manifest_node()));
    for (const auto& [name, branches] : pods_) CACS_TRY(visit(name, directory()));
    return {};
  }
  if (parts.branch.empty()) {
    for (const auto& [name, stored] : pods_.find(parts.pod)->second) {
      Node below = directory();
      if (name == "memory") below.mode = 0500;
      CACS_TRY(visit(name, below));
    }
    return {};
  }
  CACS_ASSIGN(const auto below, branch(parts.pod, parts.branch));
  return below->list(parts.rest, visit);
}

// --- loading ---------------------------------------------------------------------------------------------------------

Result<std::shared_ptr<const Branch>> CheckpointTree::branch(const std::string& pod, const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& known = branches_[{pod, name}];
  if (!known) {
    auto loaded = load_branch(pod, name);
    if (!loaded)
      return loaded.error().with_context(fmt::format("checkpoint {}, {}/{}", manifest_.checkpoint, pod, name));
    known = *std::move(loaded);
  }
  return known;
}

Result<std::shared_ptr<const Branch>> CheckpointTree::load_branch(const std::string& pod, const std::string& name) {
  const auto branches = pods_.find(pod);
  const auto found =
      branches == pods_.end() ? std::map<std::string, std::string>::const_iterator() : branches->second.find(name);
  if (branches == pods_.end() || found == branches->second.end()) return not_found(pod + '/' + name);
  if (name == "images") return std::shared_ptr<const Branch>(load_images(pod));
  if (name == "memory") {
    CACS_ASSIGN(auto memory, MemoryBranch::load(repository_, *load_images(pod), time_));
    return std::shared_ptr<const Branch>(std::move(memory));
  }
  if (name == "base" && found->second == "base") {
    CACS_ASSIGN(auto base, load_base(pod));
    return std::shared_ptr<const Branch>(std::move(base));
  }
  CACS_ASSIGN(auto listing, load_listing(pod, found->second));
  return std::shared_ptr<const Branch>(std::move(listing));
}

Result<std::shared_ptr<const ListingBranch>> CheckpointTree::load_listing(const std::string& pod,
                                                                          const std::string& name) {
  const auto* blob = transfer::find_entry(manifest_, pod + '/' + name + std::string(kListing));
  if (blob == nullptr) return not_found(pod + '/' + name);
  repository::StringSink text(kMaxListing);
  CACS_TRY(repository_.read_blob(*blob, text));
  CACS_ASSIGN(delta::Listing listing, delta::parse_listing(text.text()));
  return ListingBranch::make(std::move(listing));
}

Result<std::shared_ptr<const ListingBranch>> CheckpointTree::load_base(const std::string& pod) {
  const auto* blob = transfer::find_entry(manifest_, pod + "/base.record");
  if (blob == nullptr) return not_found(pod + "/base");
  repository::StringSink text(basefs::kMaxRecordBytes);
  CACS_TRY(repository_.read_blob(*blob, text));
  CACS_ASSIGN(const basefs::Record record, basefs::parse_record(text.text()));
  return ListingBranch::make(listing_of(record, time_));
}

std::shared_ptr<const ImagesBranch> CheckpointTree::load_images(const std::string& pod) {
  const std::string prefix = pod + "/images/";
  std::map<std::string, repository::BlobRef, std::less<>> files;
  for (const auto& entry : manifest_.entries) {
    if (!entry.name.starts_with(prefix)) continue;
    std::string name = entry.name.substr(prefix.size());
    if (is_plain_name(name)) files.emplace(std::move(name), entry.blob);
  }
  return std::make_shared<const ImagesBranch>(std::move(files), time_);
}

}  // namespace cacs::inspect
