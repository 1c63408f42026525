#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "repository/backend/backend.h"

namespace cacs::repository {

/// A store that was set up for one test and goes with this object.
class BackendUnderTest {
 public:
  BackendUnderTest() = default;
  BackendUnderTest(const BackendUnderTest&) = delete;
  BackendUnderTest& operator=(const BackendUnderTest&) = delete;
  virtual ~BackendUnderTest() = default;

  /// A client of the store, which is empty at first.
  virtual Backend& backend() = 0;
  /// A further client of the same store, as another process would have it.
  virtual std::unique_ptr<Backend> another() = 0;
  /// What takes room in the store and is no object: temporary files, unfinished uploads. By name, for messages.
  virtual std::vector<std::string> leftovers() = 0;
};

/// What the tests take for large and many: a slow store may have less, but above its own bounds (parts, pages).
struct ConformanceOptions {
  std::size_t large_bytes = (std::size_t{40} << 20U) + 12345;
  std::size_t many_objects = 1100;
  std::size_t threads = 8;
  /// For backends that may keep showing an object for a while after *another* client has removed it (caches).
  bool removal_by_others_seen = true;
};

/// Registers the tests that every Backend has to pass, as the suite `suite`. To be called while the program is being
/// started, from the test's source file:
///
///     const bool kRegistered = register_backend_conformance("FileConformance", [] { return std::make_unique<...>();
///     });
///
/// `make` is called for each test; null skips it (a server that is not there), which the program's output shows.
bool register_backend_conformance(const std::string& suite, std::function<std::unique_ptr<BackendUnderTest>()> make,
                                  ConformanceOptions options = {});

}  // namespace cacs::repository
