#include "repository/codec/data_class.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace cacs::repository {
namespace {

std::size_t class_of(const std::string& data) { return data_class(std::as_bytes(std::span(data))); }

std::string random_bytes(std::size_t size, unsigned first, unsigned last) {
  std::mt19937 random(7);
  std::uniform_int_distribution<unsigned> value(first, last);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(value(random));
  return bytes;
}

TEST(DataClass, TellsTextNumbersAndNoiseApart) {
  for (const std::size_t size : {std::size_t{2000}, std::size_t{4096}, std::size_t{262144}, std::size_t{262143}}) {
    EXPECT_EQ(class_of(std::string(size, '\0')), 0U);
    EXPECT_EQ(class_of(random_bytes(size, 'a', 'z')), 0U);
    EXPECT_EQ(class_of(random_bytes(size, 0, 255)), 2U);
    std::vector<double> doubles(size / sizeof(double));
    for (std::size_t i = 0; i < doubles.size(); ++i) doubles[i] = std::sin(static_cast<double>(i));
    std::string floats(doubles.size() * sizeof(double), '\0');
    std::memcpy(floats.data(), doubles.data(), floats.size());
    EXPECT_EQ(class_of(floats), 1U);
  }
}

TEST(DataClass, TakesAnyLength) {
  for (std::size_t size = 0; size < 5000; ++size) EXPECT_LT(class_of(std::string(size, 'x')), kDataClasses);
}

}  // namespace
}  // namespace cacs::repository
