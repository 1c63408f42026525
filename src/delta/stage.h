#pragma once

#include <cstdint>

#include "base/result.h"

namespace cacs::delta {

/// Copies `size` bytes of `in` to the start of `out`, an empty file, leaving holes where `in` has them. The length of
/// `out` is `size` afterwards. kNoSpace when the file system of `out` is full.
Status copy_sparse(int in, int out, std::uint64_t size);

/// Makes `out`, an empty file of the same file system, share all blocks of `in`. False where the file system cannot
/// (or not between these two): nothing was done, copy instead. It writes back and write-protects the pages of `in`.
Result<bool> share_blocks(int in, int out);

/// Whether a store through a mapping moves a file's ctime once its dirty pages have been written back. Measured for
/// ext4, XFS and btrfs (docs/delta.md); never on tmpfs. Of others nothing is assumed.
Result<bool> stores_move_ctime(int fd);

/// Starts write-back of what is dirty in `fd`, which write-protects the mapped pages again, without waiting for the
/// disk: the next store through a mapping then faults and moves the ctime.
Status clean_pages(int fd);

}  // namespace cacs::delta
