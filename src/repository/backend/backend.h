#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// An object being written, from start to end. Destroyed before commit() returned success, it leaves no object (and no
/// part of one that a listing shows). One thread at a time.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual Status append(std::span<const std::byte> data) = 0;
  /// Makes the object visible under its name, whole, and durable: it survives a power loss once this returns success.
  /// On failure it is there, whole, or it is not. kConflict with Overwrite::kNo when the name is taken, on a backend
  /// that can tell (BackendTraits::exclusive_create).
  virtual Status commit() = 0;
};

struct ObjectInfo {
  std::string name;
  std::uint64_t size = 0;  ///< bytes
};

enum class Overwrite {
  kNo,   ///< the name is new; where the backend can tell, commit() refuses a taken one
  kYes,  ///< replaces what is there, atomically: a reader sees the old bytes or the new ones
};

/// What a backend was found to do when it was opened (stores differ: see docs/backends.md). What is not promised here
/// nobody relies on.
struct BackendTraits {
  bool exclusive_create = false;  ///< Overwrite::kNo refuses a taken name, of two at once exactly one succeeds
  bool current_listing = false;   ///< list() shows what was committed before it began
  bool local = false;             ///< a directory of this machine: small reads are cheap
};

/// A place for immutable objects: a directory, a bucket, other agents' disks. All that is relied on: an object is
/// visible whole or not at all; reading *by name* after a commit or removal that returned sees its effect; what was
/// committed survives power loss. Neither listings nor clocks nor locks are relied on. Names are relative, of
/// [A-Za-z0-9._-] components joined by "/", at most 200 bytes. Any thread, and several processes at once.
///
/// Errors: kNotFound: no such object. kConflict: the name is taken. kUnavailable: worth trying again (time-outs, busy
/// stores, 5xx). kPermission: credentials or rights. kNoSpace. kCorrupt: the store's own check failed. Others: not
/// worth trying again. Messages name backend and object.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) = 0;
  /// As pread: fills `out` from `offset` and returns how many bytes there were; fewer only at the end of the object.
  virtual Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) = 0;
  /// Its length in bytes.
  virtual Result<std::uint64_t> size(const std::string& name) = 0;
  /// Objects whose names start with `prefix` ("" or ending in "/"), in no order, passed one by one; stops with the
  /// visitor's error. May be late: see BackendTraits::current_listing.
  virtual Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) = 0;
  /// Durably: it does not come back after a power loss. kNotFound when there is none (a store that cannot tell says
  /// success); also then an earlier removal that was interrupted is durable.
  virtual Status remove(const std::string& name) = 0;

  [[nodiscard]] virtual const BackendTraits& traits() const = 0;
  /// Where it is, for messages: without credentials.
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// Writes a small object in one go.
Status put_object(Backend& backend, const std::string& name, std::span<const std::byte> data, Overwrite overwrite);
/// The whole of a small object; kTooLarge when it is longer than `limit`.
Result<std::vector<std::byte>> get_object(Backend& backend, const std::string& name, std::size_t limit);

}  // namespace cacs::repository
