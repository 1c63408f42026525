#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "repository/backend/backend.h"
#include "repository/backend/clock.h"

namespace cacs::repository {

struct LimitOptions {
  std::uint64_t upload_rate = 0;    ///< bytes a second that are written, in all; 0: no limit
  std::uint64_t download_rate = 0;  ///< and read
  /// What may go at once after a pause, in bytes.
  std::uint64_t burst = std::uint64_t{4} << 20U;
  /// Operations under way at a time; 0: no limit. An open writer counts only while it appends or commits, and a listing
  /// not while its visitor is at work, so that one thread may nest them.
  unsigned requests = 0;
  std::shared_ptr<Clock> clock;  ///< null: make_steady_clock()
  std::stop_token stop;          ///< ends waiting for the rate: what waited fails with kAborted
};

/// Keeps a backend from taking the whole of a network, or of a store's patience, by token buckets that may be
/// overdrawn. Writing is paid for before it is done: whoever overdraws waits until it would be even, so those who come
/// at once wait in turn. Reading is paid for after, as only then it is known how much there was; the next reader waits
/// until it is even. So the rate holds over time, whatever the sizes; as many reads as come at the same moment go at
/// the same moment.
std::unique_ptr<Backend> make_limited_backend(std::unique_ptr<Backend> inner, const LimitOptions& options);

}  // namespace cacs::repository
