#pragma once

#include <cstddef>
#include <random>
#include <string>

/// Bytes of several kinds, the same for the same random numbers. Each fills [from, to) of `out`.
namespace cacs::bench {

using Random = std::mt19937_64;
using Fill = void (*)(std::string& out, std::size_t from, std::size_t to, Random& random);

void fill_random(std::string& out, std::size_t from, std::size_t to, Random& random);
/// Words as often as words are in a language.
void fill_text(std::string& out, std::size_t from, std::size_t to, Random& random);
/// Records: pointers into one heap, small numbers, flags.
void fill_records(std::string& out, std::size_t from, std::size_t to, Random& random);
/// A field of a simulation: smooth, with noise in the lower digits.
void fill_floats(std::string& out, std::size_t from, std::size_t to, Random& random);

/// The four in turn, 4 MiB each.
void fill_mixed(std::string& out, Random& random);

}  // namespace cacs::bench
