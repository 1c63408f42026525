// scale_tool fill DIRECTORY GIB | open DIRECTORY | write DIRECTORY | restore DIRECTORY | collect DIRECTORY |
// manifests DIRECTORY COUNT | list DIRECTORY: what bench/scale_bench.py measures, one process for each step, so that
// each has a peak of memory of its own. Prints JSON.
//
// A repository of any size on a small disk: every page is another, and still shrinks to a few bytes. Packs, segments,
// tables, nodes and hooks are as many and as large as for any other memory.

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/io.h"
#include "base/json.h"
#include "base/uuid.h"
#include "must.h"
#include "repository/backend/file_backend.h"
#include "repository/core.h"
#include "repository/unlock.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::bench;       // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Steady = std::chrono::steady_clock;

constexpr std::uint64_t kGib = std::uint64_t{1} << 30U;
/// Memory of one checkpoint.
constexpr std::uint64_t kImagePages = 8 * kGib / kPageBytes;
constexpr std::uint64_t kFirstPage = 0x7f0000000;

/// Pages that are eight bytes again and again: the image's number and their own. Those that are divisible by
/// `changed_every` also differ from one version to the next.
class SyntheticPages final : public PageSource {
 public:
  SyntheticPages(std::uint32_t image, std::uint32_t version, std::uint64_t changed_every)
      : image_(image), version_(version), changed_every_(changed_every) {}

  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::size_t count = std::min<std::uint64_t>(out.size(), kImagePages * kPageBytes - offset);
    for (std::size_t at = 0; at < count;) {
      const std::uint64_t page = (offset + at) / kPageBytes;
      const std::uint64_t version = page % changed_every_ == 0 ? version_ : 0;
      const std::uint64_t word = (std::uint64_t{image_} << 40U) | (version << 56U) | (page + 1);
      const std::size_t end = std::min<std::uint64_t>(count, (page + 1) * kPageBytes - offset);
      for (; at < end; at += sizeof word) std::memcpy(out.data() + at, &word, std::min(sizeof word, end - at));
    }
    return count;
  }
  [[nodiscard]] Result<std::uint64_t> size() const override { return kImagePages * kPageBytes; }
  [[nodiscard]] Result<PageLayout> data() const override { return PageLayout{{.page = 0, .count = kImagePages}}; }

 private:
  std::uint32_t image_;
  std::uint32_t version_;
  std::uint64_t changed_every_;
};

std::unique_ptr<Repository> open_at(const std::filesystem::path& where) {
  return must(open_or_create_local(where, where.string() + ".key"));
}

void commit_image(Repository& repository, const SyntheticPages& pages, const BlobRef* parent) {
  auto writer = must(repository.begin("scale"));
  const PageLayout layout{{.page = kFirstPage, .count = kImagePages}};
  Manifest manifest{.checkpoint = new_uuid(), .application = "scale"};
  manifest.entries.push_back({"pages-1.img", must(writer->put_pages(pages, layout, parent))});
  must(writer->commit(std::move(manifest)));
}

JsonObject fill(const std::filesystem::path& where, std::uint64_t gib) {
  const auto repository = open_at(where);
  const std::uint64_t images = gib * kGib / (kImagePages * kPageBytes);
  for (std::uint64_t image = 1; image <= images; ++image) {
    commit_image(*repository, SyntheticPages(static_cast<std::uint32_t>(image), 0, 1), nullptr);
    std::fprintf(stderr, "\r%llu of %llu GiB", static_cast<unsigned long long>(image * gib / images),
                 static_cast<unsigned long long>(gib));
  }
  std::fprintf(stderr, "\n");
  const Stats stats = must(repository->stats());
  return {{"packs", stats.packs}, {"stored_bytes", stats.stored_bytes}, {"index_bytes", stats.index_bytes}};
}

/// Open, as an agent that writes has it: hooks in memory.
JsonObject open_only(const std::filesystem::path& where) {
  const auto repository = open_at(where);
  must(repository->begin("scale"));
  return {{"index_bytes", must(repository->stats()).index_bytes}};
}

/// The next version of an image, a hundredth of it changed.
JsonObject write_next(const std::filesystem::path& where) {
  const auto repository = open_at(where);
  auto list = must(repository->list());
  if (list.empty()) die(make_error(ErrorCode::kNotFound, "fill it first"));
  const Manifest last = must(repository->load(list.back().head.checkpoint));
  const auto image = static_cast<std::uint32_t>(list.size());
  commit_image(*repository, SyntheticPages(image, 1, 100), &last.entries.at(0).blob);
  list = must(repository->list());
  return {{"stored_bytes", list.back().head.stored_bytes}};
}

JsonObject restore(const std::filesystem::path& where) {
  const auto repository = open_at(where);
  const auto list = must(repository->list());
  if (list.empty()) die(make_error(ErrorCode::kNotFound, "fill it first"));
  must(repository->verify(list.front().head.checkpoint));
  return {{"bytes", list.front().head.size_bytes}};
}

/// Every second checkpoint goes.
JsonObject collect(const std::filesystem::path& where) {
  const auto repository = open_at(where);
  const auto list = must(repository->list());
  for (std::size_t i = 0; i < list.size(); i += 2) must(repository->remove(list[i].head.checkpoint));
  const CollectResult result = must(repository->collect());
  return {{"packs_removed", result.packs_removed}, {"packs_written", result.packs_written}};
}

/// A place whose keys need no unlocking, which would be a good part of the time of a list.
Place list_place(const std::filesystem::path& where, Durability durability) {
  const std::string secret(SecretKey::kBytes, 'k');
  return {make_file_backend(make_file_storage(where), {.durability = durability}),
          TenantKeys(Sealing::kAes256Gcm, {{1, SecretKey(as_bytes(secret).first<SecretKey::kBytes>())}}),
          make_file_gate(where)};
}

/// Manifests alone, which is what a list is made of; not synced, for there are very many.
JsonObject manifests(const std::filesystem::path& where, std::uint64_t count) {
  std::filesystem::create_directories(where);
  must(Repository::create(list_place(where, Durability::kUntilPowerLoss)));
  const Place place = list_place(where, Durability::kUntilPowerLoss);
  ManifestDocument document;
  document.head = {.application = new_uuid(), .incarnation = 1, .created_at = "2026-01-01T00:00:00Z"};
  document.head.meta = {{"name", "an application"}, {"reason", "interval"}};
  for (std::uint64_t i = 0; i < count; ++i) {
    document.head.checkpoint = new_uuid();
    const std::string name = manifest_name(place.keys, document.head.checkpoint);
    must(store_document(*place.backend, DocumentKind::kManifest, place.keys, name, manifest_to_json(document),
                        Overwrite::kNo));
  }
  return {{"manifests", count}};
}

JsonObject list(const std::filesystem::path& where) {
  const auto repository = must(Repository::open(list_place(where, Durability::kFull)));
  const auto start = Steady::now();
  const std::size_t checkpoints = must(repository->list_brief()).size();
  return {{"checkpoints", checkpoints}, {"list_seconds", std::chrono::duration<double>(Steady::now() - start).count()}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view step = argc > 1 ? argv[1] : "";
  const std::filesystem::path where = argc > 2 ? argv[2] : "";
  const std::uint64_t number = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  const auto start = Steady::now();
  JsonObject result;
  if (where.empty()) {
    std::fprintf(stderr, "usage: scale_tool fill|open|write|restore|collect|manifests|list DIRECTORY [NUMBER]\n");
    return 2;
  }
  if (step == "fill") result = fill(where, number);
  if (step == "open") result = open_only(where);
  if (step == "write") result = write_next(where);
  if (step == "restore") result = restore(where);
  if (step == "collect") result = collect(where);
  if (step == "manifests") result = manifests(where, number);
  if (step == "list") result = list(where);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  result["seconds"] = std::chrono::duration<double>(Steady::now() - start).count();
  result["peak_kib"] = usage.ru_maxrss;
  std::printf("%s\n", boost::json::serialize(result).c_str());
  return 0;
}
