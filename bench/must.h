#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/result.h"

/// Small programs for measuring have nobody to hand an error to: they say it and end with 1.
namespace cacs::bench {

[[noreturn]] inline void die(const Error& error) {
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  std::exit(1);
}

inline void must(const Status& status) {
  if (!status) die(status.error());
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error());
  return std::move(result).value();
}

}  // namespace cacs::bench
