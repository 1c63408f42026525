#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/pack_file.h"

namespace cacs::repository {

struct PackCopy {
  const OpenPack& pack;
  std::uint64_t size = 0;                       ///< bytes of the object
  std::function<void(std::uint64_t)> on_bytes;  ///< is told of bytes that were passed on; may be null
  std::stop_token stop;
};

/// Passes a pack on as it is, sealed, one segment at a time; every part is authenticated as it passes (in an unsealed
/// repository: its checksum compared). kCorrupt: something in it is damaged, needed or not: who needs it may come
/// later, and takes what is there for sound. kNotFound: the pack went away (a collection has put the next generation in
/// its place, or nobody needs it); kAborted: told to stop. On failure there is no object in `to`, or (kTimeout,
/// kUnavailable of the commit) the whole. kConflict as Backend.
Status copy_pack(Backend& from, Backend& to, const PackCopy& what, Overwrite overwrite);

}  // namespace cacs::repository
