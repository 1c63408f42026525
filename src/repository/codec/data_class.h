#pragma once

#include <cstddef>
#include <span>

namespace cacs::repository {

inline constexpr std::size_t kDataClasses = 3;

/// Tells data apart that compress differently, from a sample, so that what was
/// learned of one kind is not believed of the other when they come in turn: 0 where few byte values make up the data
/// (text, small numbers), 2 where all are about as frequent (random, compressed already), 1 between (floating point).
/// Goes by the sum of the squares of the byte values' frequencies in a sample of 2 KiB: of two bytes drawn at random,
/// how likely they are equal. Repetition it does not see: what a class compresses to has to be measured.
std::size_t data_class(std::span<const std::byte> data);

}  // namespace cacs::repository
