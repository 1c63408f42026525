#pragma once

#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cacs::application {

/// The first failure of a parse. Readers share one, so that a parse reads as a list of fields and is checked once at
/// its end: after the first failure every reader gives defaults.
struct ParseFailure {
  std::optional<Error> error;

  void fail(Error first) {
    if (!error) error = std::move(first);
  }
};

/// Reads the members of one object of a document that a user wrote. Anything that is not in `known` is refused when the
/// reader is made; a mistyped member is refused by its place and what was wanted. null counts as not given.
class FieldReader {
 public:
  /// `place` is where the object stands ("checkpoint", "files[2]"), empty for the document itself. `known` must outlive
  /// the reader.
  FieldReader(const JsonObject& object, std::string place, std::span<const std::string_view> known,
              ParseFailure& failure);

  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }
  /// The member, or null when it is not given.
  [[nodiscard]] const Json* find(std::string_view name) const;

  void string(std::string_view name, std::string& out, std::size_t max_bytes) const;
  void boolean(std::string_view name, bool& out) const;
  void integer(std::string_view name, int& out, int least, int most) const;
  void number(std::string_view name, double& out, double least, double most) const;
  /// "2GiB" or a number of bytes.
  void size(std::string_view name, std::uint64_t& out) const;
  /// "90s"; between `least` and a year.
  void duration(std::string_view name, std::chrono::milliseconds& out, std::chrono::milliseconds least) const;
  void strings(std::string_view name, std::vector<std::string>& out, std::size_t max_items,
               std::size_t max_bytes) const;
  /// One of `allowed`; `out` keeps its value when the member is not given.
  void choice(std::string_view name, std::string& out, std::span<const std::string_view> allowed) const;
  [[nodiscard]] const JsonArray* array(std::string_view name, std::size_t max_items) const;
  [[nodiscard]] const JsonObject* object(std::string_view name) const;

  /// Where a member stands, for errors: "checkpoint.interval".
  [[nodiscard]] std::string place_of(std::string_view name) const;
  void fail(std::string_view name, std::string_view wanted, const Json* got) const;

 private:
  const JsonObject& object_;
  std::string place_;
  ParseFailure& failure_;
};

/// What a value is, for "wanted X, got Y". Never shows the value itself: it may be a secret.
std::string_view json_kind(const Json& value);

}  // namespace cacs::application
