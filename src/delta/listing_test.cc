#include "delta/listing.h"

#include <gtest/gtest.h>
namespace cacs::delta {
namespace {
TEST(Listing, EmptyIsInvalid) { EXPECT_FALSE(validate({}).ok()); }
}  // namespace
}  // namespace cacs::delta
