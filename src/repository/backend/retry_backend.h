#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>

#include "repository/backend/backend.h"
#include "repository/backend/clock.h"

namespace cacs::repository {

struct RetryOptions {
  unsigned attempts = 6;  ///< of one operation, the first included
  std::chrono::nanoseconds first_delay = std::chrono::milliseconds(200);
  std::chrono::nanoseconds longest_delay = std::chrono::seconds(10);
  std::chrono::nanoseconds give_up_after = std::chrono::minutes(2);  ///< since the operation began
  /// An object being written is kept until it is committed, to be written again: so much of it in memory,
  std::size_t memory_bytes = std::size_t{40} << 20U;
  /// and what is longer in a file without a name in this directory (empty: nowhere), up to so much.
  std::filesystem::path spool_directory;
  std::uint64_t spool_bytes = std::uint64_t{16} << 30U;

  std::shared_ptr<Clock> clock;    ///< null: make_steady_clock()
  std::function<double()> random;  ///< in [0, 1); any thread; null: one of its own
  std::stop_token stop;            ///< ends waiting: the last error is returned
  /// Told of every failure that is going to be tried again, and after which wait. Any thread.
  std::function<void(const Error& error, std::chrono::nanoseconds delay)> on_retry;
};

/// Tries again what failed with kUnavailable or kTimeout, after waits with full jitter: a random time of up to
/// first_delay * 2^n ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). An operation under way is not
/// interrupted: it has to have a time-out of its own.
///
/// - **Writing.** What is appended goes to the store at once and is kept as well. When append or commit fails, the
/// whole
///   object is written anew. Keeping is the only way: a store forgets an upload that broke, and a file whose fsync
///   failed cannot be trusted. An object that is longer than may be kept fails with the first failure after that bound.
/// - **A commit whose answer was lost** may have taken place. With Overwrite::kNo the repetition is then refused with
///   kConflict; it is success if what is there has the same bytes (they are read). So where it matters who created an
///   object (not only that it is there), its bytes have to name the creator. Only after a failed attempt: a first
///   kConflict is returned as it is. With kYes a repetition may undo what another client wrote in between.
/// - **A removal** that finds nothing after a failed attempt is success.
/// - **Listings** are held in memory, about 100 bytes an object, and passed on when they are whole: so none is twice.
std::unique_ptr<Backend> make_retry_backend(std::unique_ptr<Backend> inner, RetryOptions options = {});

}  // namespace cacs::repository
