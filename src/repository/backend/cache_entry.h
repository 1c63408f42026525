#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cacs::repository {

/// An entry of a cache, all numbers little-endian: magic `CACSBLK1` 8, block 8, length of the name 4, length of the
/// data 4, SHA-256 of the 24 bytes before, the name and the data 32, the name, the data.
std::vector<std::byte> encode_cache_entry(const std::string& name, std::uint64_t block,
                                          std::span<const std::byte> data);

/// The data, if `entry` is what encode_cache_entry() made of this name and block and of at most `max_data` bytes.
std::optional<std::span<const std::byte>> open_cache_entry(std::span<const std::byte> entry, const std::string& name,
                                                           std::uint64_t block, std::size_t max_data);

/// The longest that an entry can be.
std::size_t cache_entry_bound(std::size_t max_data);

/// The names in the cache of the entries of one object all begin with this; the block's number follows.
std::string cache_key_prefix(const std::string& name);
std::string cache_key(const std::string& name, std::uint64_t block);
/// Whether it may be such a name: what else lies there is left alone.
bool is_cache_key(const std::string& key);

}  // namespace cacs::repository
