// versions_tool init REPOSITORY | ingest REPOSITORY IMAGES | restore REPOSITORY CHECKPOINT|latest DIRECTORY: what
// bench/versions_bench.py measures of ours, one process for each step as with the programs that it is compared with.
// Encrypted, with a key from the file REPOSITORY.key as an agent has one, without a passphrase. Prints JSON.

#include <fcntl.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "base/io.h"
#include "base/uuid.h"
#include "engine/criu_pagemap.h"
#include "must.h"
#include "repository/unlock.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::bench;       // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;
using PageMaps = std::map<std::string, engine::PageMapOf>;
using Blobs = std::map<std::string, BlobRef>;

std::filesystem::path key_file_of(const std::filesystem::path& where) { return where.string() + ".key"; }

/// The last checkpoint; kNotFound when there is none.
Result<Manifest> latest(Repository& repository) {
  CACS_ASSIGN(const std::vector<Summary> all, repository.list());
  if (all.empty()) return make_error(ErrorCode::kNotFound, "there is no checkpoint in the repository");
  return repository.load(all.back().head.checkpoint);  // sorted by id, and ids are in order of creation
}

/// The blobs of the last checkpoint by name; none if there is none.
Result<Blobs> parents(Repository& repository) {
  Result<Manifest> last = latest(repository);
  if (!last && last.error().code == ErrorCode::kNotFound) return Blobs{};
  if (!last) return last.error();
  Blobs blobs;
  for (const Entry& entry : last->entries) blobs.emplace(entry.name, entry.blob);
  return blobs;
}

/// The one place that knows how memory is given to the repository.
Result<BlobRef> put_memory(Writer& writer, int fd, const engine::PageMap& map, const BlobRef* parent) {
  PageLayout layout;
  for (const engine::Extent& extent : map.extents) layout.push_back({extent.address / kPageBytes, extent.pages});
  return writer.put_pages(FdPageSource(fd), layout, parent);
}

Result<Entry> put_file(Writer& writer, const std::filesystem::path& path, const PageMaps& maps, const Blobs& parents) {
  Entry entry{.name = path.filename().string(), .blob = {}};
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  const auto map = maps.find(entry.name);
  if (map != maps.end()) {
    const auto parent = parents.find(entry.name);
    const BlobRef* before = parent == parents.end() ? nullptr : &parent->second;
    CACS_ASSIGN(entry.blob, put_memory(writer, fd.get(), map->second.map, before));
  } else {
    FdSource source(fd.get());
    CACS_ASSIGN(entry.blob, writer.put(source, StreamKind::kMetadata));
  }
  return entry;
}

Status ingest(const std::filesystem::path& where, const std::filesystem::path& images) {
  const auto start = Clock::now();
  CACS_ASSIGN(const PageMaps maps, engine::list_page_maps(images));
  CACS_ASSIGN(auto repository, open_or_create_local(where, key_file_of(where)));
  CACS_ASSIGN(const Blobs before, parents(*repository));
  CACS_ASSIGN(auto writer, repository->begin("bench"));
  Manifest manifest{.checkpoint = new_uuid(), .application = "bench"};
  for (const auto& file : std::filesystem::directory_iterator(images)) {
    CACS_ASSIGN(Entry entry, put_file(*writer, file.path(), maps, before));
    manifest.entries.push_back(std::move(entry));
  }
  const std::string id = manifest.checkpoint;
  CACS_TRY(writer->commit(std::move(manifest)));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf(R"({"checkpoint":"%s","seconds":%.3f})"
              "\n",
              id.c_str(), seconds);
  return {};
}

Status restore(const std::filesystem::path& where, const std::string& checkpoint,
               const std::filesystem::path& directory) {
  const auto start = Clock::now();
  CACS_ASSIGN(auto repository, open_or_create_local(where, key_file_of(where)));
  CACS_ASSIGN(const Manifest manifest, checkpoint == "latest" ? latest(*repository) : repository->load(checkpoint));
  CACS_TRY(make_directories(directory));
  for (const Entry& entry : manifest.entries) {
    CACS_ASSIGN(const UniqueFd fd, open_file(directory / entry.name, O_WRONLY | O_CREAT | O_EXCL));
    CACS_TRY(repository->restore_blob(entry.blob, fd.get()));
  }
  std::printf(R"({"checkpoint":"%s","seconds":%.3f})"
              "\n",
              manifest.checkpoint.c_str(), std::chrono::duration<double>(Clock::now() - start).count());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "init" && argc == 3) {
    must(open_or_create_local(argv[2], key_file_of(argv[2])));
  } else if (verb == "ingest" && argc == 4) {
    must(ingest(argv[2], argv[3]));
  } else if (verb == "restore" && argc == 5) {
    must(restore(argv[2], argv[3], argv[4]));
  } else {
    std::fprintf(stderr,
                 "usage: versions_tool init REPOSITORY\n"
                 "       versions_tool ingest REPOSITORY IMAGES\n"
                 "       versions_tool restore REPOSITORY CHECKPOINT|latest DIRECTORY\n");
    return 2;
  }
  return 0;
}
