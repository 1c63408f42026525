// versions_tool init REPOSITORY | ingest REPOSITORY IMAGES LAYOUT | restore REPOSITORY CHECKPOINT|latest DIRECTORY:
// what bench/versions_bench.py measures of ours, one process for each step as with the programs that it is compared
// with. IMAGES and LAYOUT are those of image_series. Prints JSON.

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "base/io.h"
#include "base/uuid.h"
#include "must.h"
#include "repository/unlock.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::bench;       // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

/// The key lies beside the repository.
std::filesystem::path key_of(const std::filesystem::path& repository) { return repository.string() + ".key"; }

/// Pages of a pages-N.img that follow each other in the file and in the process.
struct Run {
  std::uint64_t address = 0;
  std::uint64_t pages = 0;
};
using Layouts = std::map<std::string, std::vector<Run>, std::less<>>;

Result<std::uint64_t> parse_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem == std::errc() && end == text.data() + text.size()) return value;
  return make_error(ErrorCode::kInvalidArgument, "'" + std::string(text) + "' is not a number");
}

/// "FILE ADDRESS PAGES", one run a line, in the order of the file.
Result<Layouts> load_layouts(const std::filesystem::path& path) {
  CACS_ASSIGN(const std::string text, read_text_file(path, std::size_t{1} << 30U));
  Layouts layouts;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) {
      return make_error(ErrorCode::kInvalidArgument,
                        path.string() + ": '" + std::string(line) + "' is no run of pages");
    }
    Run run;
    CACS_ASSIGN(run.address, parse_number(line.substr(first + 1, second - first - 1), 16));
    CACS_ASSIGN(run.pages, parse_number(line.substr(second + 1), 10));
    layouts[std::string(line.substr(0, first))].push_back(run);
  }
  return layouts;
}

/// The blobs of an earlier version, by name.
using Version = std::map<std::string, BlobRef, std::less<>>;

/// Those of the newest checkpoint, if there is one.
Result<Version> load_parent(Repository& repository) {
  CACS_ASSIGN(const auto all, repository.list());
  Version version;
  if (all.empty()) return version;
  CACS_ASSIGN(const Manifest manifest, repository.load(all.back().head.checkpoint));
  for (const auto& entry : manifest.entries) version.emplace(entry.name, entry.blob);
  return version;
}

/// The one place that knows how memory is given to the repository.
Result<BlobRef> put_memory(Writer& writer, int fd, const std::string& name, const std::vector<Run>& runs,
                           const Version& parent) {
  PageLayout layout;
  for (const Run& run : runs) layout.push_back({.page = run.address / kPageBytes, .count = run.pages});
  const auto before = parent.find(name);
  return writer.put_pages(FdPageSource(fd), layout, before == parent.end() ? nullptr : &before->second);
}

Result<Entry> put_file(Writer& writer, const std::filesystem::path& path, const Layouts& layouts,
                       const Version& parent) {
  Entry entry{.name = path.filename().string(), .blob = {}};
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  const auto layout = layouts.find(entry.name);
  if (layout != layouts.end()) {
    CACS_ASSIGN(entry.blob, put_memory(writer, fd.get(), entry.name, layout->second, parent));
  } else {
    FdSource source(fd.get());
    CACS_ASSIGN(entry.blob, writer.put(source, StreamKind::kMetadata));
  }
  return entry;
}

Status ingest(const std::filesystem::path& where, const std::filesystem::path& images,
              const std::filesystem::path& layout) {
  const auto start = Clock::now();
  CACS_ASSIGN(const Layouts layouts, load_layouts(layout));
  CACS_ASSIGN(auto repository, open_or_create_local(where, key_of(where)));
  CACS_ASSIGN(const Version parent, load_parent(*repository));
  CACS_ASSIGN(auto writer, repository->begin("bench"));
  Manifest manifest{.checkpoint = new_uuid(), .application = "bench"};
  for (const auto& file : std::filesystem::directory_iterator(images)) {
    CACS_ASSIGN(Entry entry, put_file(*writer, file.path(), layouts, parent));
    manifest.entries.push_back(std::move(entry));
  }
  const std::string id = manifest.checkpoint;
  CACS_TRY(writer->commit(std::move(manifest)));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  CACS_ASSIGN(const Manifest stored, repository->load(id));
  std::printf(R"({"checkpoint":"%s","stored_bytes":%llu,"seconds":%.3f})"
              "\n",
              id.c_str(), static_cast<unsigned long long>(stored.stored_bytes), seconds);
  return {};
}

Result<std::string> resolve(Repository& repository, std::string_view checkpoint) {
  if (checkpoint != "latest") return std::string(checkpoint);
  CACS_ASSIGN(const std::vector<Summary> all, repository.list());
  if (all.empty()) return make_error(ErrorCode::kNotFound, "there is no checkpoint in the repository");
  return all.back().head.checkpoint;  // sorted by id, and ids are in order of creation
}

Status restore(const std::filesystem::path& where, std::string_view checkpoint,
               const std::filesystem::path& directory) {
  const auto start = Clock::now();
  CACS_ASSIGN(auto repository, open_or_create_local(where, key_of(where)));
  CACS_ASSIGN(const std::string id, resolve(*repository, checkpoint));
  CACS_ASSIGN(const Manifest manifest, repository->load(id));
  CACS_TRY(make_directories(directory));
  for (const Entry& entry : manifest.entries) {
    CACS_ASSIGN(const UniqueFd fd, open_file(directory / entry.name, O_WRONLY | O_CREAT | O_EXCL));
    CACS_TRY(repository->restore_blob(entry.blob, fd.get()));
  }
  std::printf(R"({"checkpoint":"%s","seconds":%.3f})"
              "\n",
              id.c_str(), std::chrono::duration<double>(Clock::now() - start).count());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "init" && argc == 3) {
    must(open_or_create_local(argv[2], key_of(argv[2])));
  } else if (verb == "ingest" && argc == 5) {
    must(ingest(argv[2], argv[3], argv[4]));
  } else if (verb == "restore" && argc == 5) {
    must(restore(argv[2], argv[3], argv[4]));
  } else {
    std::fprintf(stderr,
                 "usage: versions_tool init REPOSITORY\n"
                 "       versions_tool ingest REPOSITORY IMAGES LAYOUT\n"
                 "       versions_tool restore REPOSITORY CHECKPOINT|latest DIRECTORY\n");
    return 2;
  }
  return 0;
}
