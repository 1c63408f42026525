#include "repository/chunk_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kOpenFiles = 32;

}  // namespace

std::string id_of_file(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return {};
  name.remove_suffix(suffix.size());
  return is_uuid(name) ? std::string(name) : std::string();
}

ChunkStore::ChunkStore(Storage& storage) : storage_(storage), table_(KeyOf{this}) {}

Result<std::shared_ptr<const Pack>> ChunkStore::load_pack(const std::string& id) {
  CACS_ASSIGN(const auto file, storage_.open(pack_file(id)));
  CACS_ASSIGN(const std::uint64_t size, file->size());
  const auto read = [&](std::uint64_t offset, std::size_t bytes) -> Result<std::vector<std::byte>> {
    std::vector<std::byte> out(bytes);
    CACS_ASSIGN(const std::size_t got, file->read_at(offset, out));
    if (got != bytes) return corrupt("a pack that ends too early");
    return out;
  };
  if (size < kPackHeaderBytes + kPackTrailerBytes) return corrupt("a pack that ends too early");
  CACS_ASSIGN(const auto header, read(0, kPackHeaderBytes));
  CACS_ASSIGN(const auto trailer_bytes, read(size - kPackTrailerBytes, kPackTrailerBytes));
  CACS_ASSIGN(const PackTrailer trailer, parse_pack_trailer(trailer_bytes, size));
  CACS_ASSIGN(const auto footer, read(trailer.footer_offset, size - trailer.footer_offset));
  auto pack = std::make_shared<Pack>();
  pack->id = id;
  pack->file_size = size;
  CACS_ASSIGN(pack->entries, parse_pack_footer(id, header, footer, size));
  return std::shared_ptr<const Pack>(std::move(pack));
}

Status ChunkStore::refresh() {
  const std::scoped_lock one_at_a_time(refresh_mutex_);
  CACS_ASSIGN(const auto names, storage_.list(std::string(kPackDirectory)));
  std::set<std::string> present;
  for (const auto& name : names) {
    if (auto id = id_of_file(name, kPackSuffix); !id.empty()) present.insert(std::move(id));
  }
  std::set<std::string> known;
  for (const auto& pack : packs()) known.insert(pack->id);

  std::vector<std::shared_ptr<const Pack>> fresh;
  std::map<std::string, Error> damaged;
  for (const auto& id : present) {
    if (known.contains(id)) continue;
    auto pack = load_pack(id);
    if (pack) {
      fresh.push_back(std::move(*pack));
    } else if (pack.error().code == ErrorCode::kCorrupt || pack.error().code == ErrorCode::kUnsupported) {
      damaged.emplace(id, pack.error().with_context("pack " + id));
    } else if (pack.error().code != ErrorCode::kNotFound) {  // not found: collected since it was listed
      return pack.error().with_context("open pack " + id);
    }
  }

  std::vector<std::shared_ptr<const Pack>> all = packs();
  all.insert(all.end(), fresh.begin(), fresh.end());
  std::map<std::string, std::vector<bool>> quarantined;
  CACS_TRY(load_quarantines(all, quarantined));

  const std::unique_lock lock(mutex_);
  damaged_ = std::move(damaged);
  const bool more =
      std::any_of(quarantined.begin(), quarantined.end(), [&](const auto& each) { return known.contains(each.first); });
  quarantine_.merge(quarantined);
  std::vector<std::shared_ptr<const Pack>> kept;
  for (const auto& pack : packs_) {
    if (present.contains(pack->id)) kept.push_back(pack);
  }
  // What was added while the directory was read is not in `present` but exists: add() comes after publication.
  const bool gone = std::any_of(packs_.begin(), packs_.end(), [&](const auto& pack) {
    return !present.contains(pack->id) && known.contains(pack->id);
  });
  if (gone || more) {
    for (const auto& pack : packs_) {
      if (!present.contains(pack->id) && !known.contains(pack->id)) kept.push_back(pack);
    }
    rebuild(std::move(kept));
  }
  std::erase_if(quarantine_, [&](const auto& each) { return !present.contains(each.first); });
  for (auto& pack : fresh) {
    const bool there =
        std::any_of(packs_.begin(), packs_.end(), [&](const auto& other) { return other->id == pack->id; });
    if (there) continue;
    packs_.push_back(std::move(pack));
    insert_all(packs_.size() - 1);
  }
  return {};
}

void ChunkStore::add(std::shared_ptr<const Pack> pack) {
  const std::unique_lock lock(mutex_);
  const bool there =
      std::any_of(packs_.begin(), packs_.end(), [&](const auto& other) { return other->id == pack->id; });
  if (there) return;
  packs_.push_back(std::move(pack));
  insert_all(packs_.size() - 1);
}

void ChunkStore::insert_all(std::size_t pack_number) {
  const Pack& pack = *packs_[pack_number];
  const auto damaged = quarantine_.find(pack.id);
  for (std::size_t slot = 0; slot < pack.entries.size(); ++slot) {
    const std::uint64_t value = (static_cast<std::uint64_t>(pack_number) << 32U) | slot;
    if (damaged != quarantine_.end() && damaged->second[slot]) {
      suspects_.try_emplace(pack.entries[slot].digest, value);
    } else {
      table_.insert(value);
    }
  }
}

void ChunkStore::rebuild(std::vector<std::shared_ptr<const Pack>> packs) {
  packs_ = std::move(packs);
  table_.clear();
  suspects_.clear();
  for (std::size_t number = 0; number < packs_.size(); ++number) insert_all(number);
}

std::optional<ChunkLocation> ChunkStore::find(const Digest& digest) const {
  const std::shared_lock lock(mutex_);
  const std::uint64_t value = table_.find(digest);
  if (value != DigestTable<KeyOf>::kNone) return ChunkLocation{packs_[value >> 32U], value & 0xffffffffU, false};
  const auto suspect = suspects_.find(digest);
  if (suspect == suspects_.end()) return std::nullopt;
  return ChunkLocation{packs_[suspect->second >> 32U], suspect->second & 0xffffffffU, true};
}

bool ChunkStore::contains(const Digest& digest) const {
  const std::shared_lock lock(mutex_);
  return table_.find(digest) != DigestTable<KeyOf>::kNone;
}

Error ChunkStore::missing(const Digest& digest) const {
  std::string text = fmt::format("chunk {} is in no pack that can be read", digest.to_hex());
  for (const auto& [id, error] : damaged()) text += "; " + error.message;
  return corrupt(std::move(text));
}

Status ChunkStore::read(const Digest& digest, ChunkCodec& codec, std::vector<std::byte>& out) {
  Status status = read_any_copy(digest, codec, out);
  if (status.ok() || status.error().code != ErrorCode::kNotFound) return status;
  // Another process has stored it since, or a collection has moved it.
  CACS_TRY(refresh());
  status = read_any_copy(digest, codec, out);
  if (!status && status.error().code == ErrorCode::kNotFound) return missing(digest);
  return status;
}

/// kNotFound when there is none, or it was moved.
Status ChunkStore::read_any_copy(const Digest& digest, ChunkCodec& codec, std::vector<std::byte>& out) {
  std::vector<std::byte> stored;
  while (true) {
    const auto location = find(digest);
    if (!location) return make_error(ErrorCode::kNotFound, "no such chunk");
    auto status = read_at(*location, codec, stored, out);
    // One in quarantine is tried all the same: the damage may have been the memory's, not the disk's.
    if (status.ok() || status.error().code != ErrorCode::kCorrupt || location->quarantined) return status;
    if (const auto put = quarantine(location->pack); !put) {
      spdlog::warn("{}; it could not be put into quarantine: {}", status.error().message, put.error().to_string());
      return status;
    }
    const auto other = find(digest);
    // Still the same copy: it was sound when it was read again for the quarantine.
    const bool same = other && other->pack == location->pack && other->slot == location->slot;
    if (!other || (same && !other->quarantined)) return read_at(*location, codec, stored, out);
    if (other->quarantined) return status;
  }
}

Status ChunkStore::read_at(const ChunkLocation& location, ChunkCodec& codec, std::vector<std::byte>& stored,
                           std::vector<std::byte>& out) {
  const PackEntry& entry = location.entry();
  const auto bad = [&](std::string_view why) {
    return corrupt(
        fmt::format("pack {}, chunk {} (offset {}): {}", location.pack->id, entry.digest.to_hex(), entry.offset, why));
  };
  CACS_ASSIGN(const auto file, open_pack(location.pack->id));
  stored.resize(entry.stored);
  auto got = file->read_at(entry.offset, stored);
  if (!got) return got.error().with_context(fmt::format("pack {}", location.pack->id));
  if (*got != stored.size()) return bad("the pack was cut off");
  out.resize(entry.raw);
  if (auto status = codec.expand(stored, entry.codec, out); !status) return bad(status.error().message);
  if (sha256(std::span<const std::byte>(out)) != entry.digest) return bad("its bytes do not have its digest");
  return {};
}

Result<std::shared_ptr<const ReadableFile>> ChunkStore::open_pack(const std::string& id) {
  const std::scoped_lock lock(files_mutex_);
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const auto& file) { return file.first == id; });
  if (found != files_.end()) {
    files_.splice(files_.begin(), files_, found);
    return files_.front().second;
  }
  CACS_ASSIGN(std::shared_ptr<const ReadableFile> file, storage_.open(pack_file(id)));
  files_.emplace_front(id, file);
  if (files_.size() > kOpenFiles) files_.pop_back();
  return file;
}

std::vector<std::shared_ptr<const Pack>> ChunkStore::packs() const {
  const std::shared_lock lock(mutex_);
  return packs_;
}

std::map<std::string, Error> ChunkStore::damaged() const {
  const std::shared_lock lock(mutex_);
  return damaged_;
}

std::size_t ChunkStore::memory_bytes() const {
  const std::shared_lock lock(mutex_);
  std::size_t bytes = table_.memory_bytes() + suspects_.size() * (sizeof(Digest) + 2 * sizeof(std::uint64_t));
  for (const auto& pack : packs_) bytes += sizeof(Pack) + pack->entries.capacity() * sizeof(PackEntry);
  return bytes;
}

}  // namespace cacs::repository
