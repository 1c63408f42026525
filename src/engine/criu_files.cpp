#include "engine/criu_files.h"

#include <climits>

#include "base/io.h"
#include "engine/criu_image.h"
#include "engine/criu_image.pb.h"

namespace cacs::engine {

namespace {

constexpr std::size_t kMaxFilesBytes = std::size_t{256} << 20U;
constexpr std::size_t kMaxMemfdBytes = std::size_t{64} << 20U;
// What the kernel calls the file behind shared memory without a name, and CRIU then too.
constexpr std::string_view kNameless = "/dev/zero";

bool is_name(const std::string& name) {
  return !name.empty() && name.size() < PATH_MAX && name.find('\0') == std::string::npos;
}

}  // namespace

Result<MappedFiles> parse_open_files(std::string_view image) {
  CACS_ASSIGN(auto reader, ImageReader::open(image, kFilesMagic, "the engine's image of open files"));
  MappedFiles files;
  image::NamedFile entry;
  while (true) {
    CACS_ASSIGN(const bool more, reader.read(entry));
    if (!more) return files;
    if (!entry.has_regular() && !entry.has_memfd()) continue;
    if (!entry.has_id()) return reader.corrupt("has a file without a number");
    const std::uint32_t id = entry.id();
    if (entry.has_memfd() == entry.has_regular() || files.paths.contains(id) || files.memfds.contains(id))
      return reader.corrupt("has two files of the number " + std::to_string(id));
    if (entry.has_memfd()) {
      files.memfds.emplace(id, entry.memfd().inode_id());
    } else {
      if (!is_name(entry.regular().name())) return reader.corrupt("has no sound name for file " + std::to_string(id));
      files.paths.emplace(id, entry.regular().name());
    }
  }
}

Result<std::map<std::uint64_t, Memfd>> parse_memfds(std::string_view image) {
  CACS_ASSIGN(auto reader, ImageReader::open(image, kMemfdMagic, "the engine's image of memory with a descriptor"));
  std::map<std::uint64_t, Memfd> memory;
  image::MemfdInode entry;
  while (true) {
    CACS_ASSIGN(const bool more, reader.read(entry));
    if (!more) return memory;
    if (!entry.has_inode_id() || !entry.has_shared_id() || entry.name().size() >= PATH_MAX)
      return reader.corrupt("has an entry without a number, or with too long a name");
    Memfd made;
    made.anonymous = entry.name() == kNameless;
    if (!made.anonymous) made.name = entry.name();
    made.shared_id = entry.shared_id();
    made.bytes = entry.size();
    if (!memory.emplace(entry.inode_id(), std::move(made)).second)
      return reader.corrupt("has two entries of the number " + std::to_string(entry.inode_id()));
  }
}

Result<std::map<std::uint64_t, Memfd>> read_memfds(const std::filesystem::path& images) {
  const auto path = images / "memfd.img";
  CACS_ASSIGN(const auto image, read_image(path, kMaxMemfdBytes));
  if (!image) return std::map<std::uint64_t, Memfd>();
  return parse_memfds(*image).context(path.string());
}

Result<MappedFiles> read_mapped_files(const std::filesystem::path& images) {
  const auto path = images / "files.img";
  CACS_ASSIGN(const std::string image, read_text_file(path, kMaxFilesBytes));
  CACS_ASSIGN(MappedFiles files, parse_open_files(image).context(path.string()));
  CACS_ASSIGN(files.memory, read_memfds(images));
  return files;
}

}  // namespace cacs::engine
