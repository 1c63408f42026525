#include "base/uuid.h"

#include <gtest/gtest.h>

#include <set>

namespace cacs {
namespace {

TEST(Uuid, IsVersion7AndUnique) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = new_uuid();
    EXPECT_TRUE(is_uuid(id)) << id;
    EXPECT_EQ(id[14], '7');
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST(Uuid, RefusesOtherForms) {
  EXPECT_FALSE(is_uuid(""));
  EXPECT_FALSE(is_uuid("../../../../etc/passwd/aaaaaaaaaaaaaa"));
  EXPECT_FALSE(is_uuid("0190A6B2-1111-7000-8000-000000000000"));
}

}  // namespace
}  // namespace cacs
