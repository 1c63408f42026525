// Any bytes: refused as an image of memory, files, memfds, processes or state, or taken for a sound one.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/criu_image.h"
#include "engine/criu_regions.h"

namespace {

using namespace cacs::engine;  // NOLINT(google-build-using-namespace): a program of one file

void require(bool condition) {
  if (!condition) std::abort();
}

void check_regions(std::string_view image) {
  MappedFiles files;
  files.paths = {{1, "/bin/program"}};
  files.memfds = {{2, 3}};
  files.memory = {{3, {"board", false, 4, 100}}};
  const auto regions = parse_regions(image, files);
  if (!regions) return;
  std::uint64_t end = 0;
  for (const auto& region : *regions) {
    require(region.start >= end && region.start < region.end);
    require(region_at(*regions, region.start) == &region && region_at(*regions, region.end - 1) == &region);
    require(!region_kind_name(region.kind).empty());
    end = region.end;
  }
}

void check_tree(std::string_view image) {
  const auto tree = parse_process_tree(image);
  if (!tree) return;
  require(!tree->empty() && tree->front().parent == 0);
  for (const auto& process : *tree) require(process.pid != 0 && process.parent != process.pid);
}

}  // namespace

// The first byte says which kind; with its highest bit an image's first words are put in front of the rest, which then
// is entries.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::uint32_t kMagics[] = {kMemoryMagic, kFilesMagic, kMemfdMagic, kProcessTreeMagic, kCoreMagic};
  const std::size_t kind = (data[0] & 0x7fU) % std::size(kMagics);
  std::string image;
  if ((data[0] & 0x80U) != 0) {
    image.assign("\x19\x43\x56\x54");
    image.append(reinterpret_cast<const char*>(&kMagics[kind]), sizeof kMagics[kind]);
  }
  image.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (kMagics[kind]) {
    case kMemoryMagic:
      check_regions(image);
      break;
    case kFilesMagic:
      (void)parse_open_files(image);
      break;
    case kMemfdMagic:
      (void)parse_memfds(image);
      break;
    case kProcessTreeMagic:
      check_tree(image);
      break;
    default:
      if (const auto name = parse_process_name(image)) require(name->size() <= 15);
  }
  return 0;
}
