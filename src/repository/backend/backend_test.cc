#include "repository/backend/backend.h"

#include <gtest/gtest.h>

#include "repository/backend/memory_backend.h"
#include "repository/backend/object_name.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

TEST(GetObject, TakesWhatIsAtMostTheLimit) {
  const auto backend = make_memory_backend(std::make_shared<MemoryStore>());
  for (const std::size_t size : {0U, 1U, 65535U, 65536U, 65537U, 200000U}) {
    SCOPED_TRACE(size);
    const auto bytes = object_bytes(size, 1);
    ASSERT_OK(put_object(*backend, "a", bytes, Overwrite::kYes));
    for (const std::size_t limit : {size, size + 1, std::size_t{1} << 30U}) {
      const auto got = get_object(*backend, "a", limit);
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes);
    }
    if (size > 0) {
      EXPECT_CODE(get_object(*backend, "a", size - 1), ErrorCode::kTooLarge);
      EXPECT_CODE(get_object(*backend, "a", 0), ErrorCode::kTooLarge);
    }
  }
  EXPECT_CODE(get_object(*backend, "b", 10), ErrorCode::kNotFound);
}

TEST(ObjectName, PrefixesAreEmptyOrEndInASlash) {
  EXPECT_OK(check_prefix(""));
  EXPECT_OK(check_prefix("a/"));
  EXPECT_OK(check_prefix("a/b/"));
  EXPECT_CODE(check_prefix("a"), ErrorCode::kInvalidArgument);
  EXPECT_CODE(check_prefix("a/../"), ErrorCode::kInvalidArgument);
  EXPECT_CODE(check_object_name(std::string(201, 'a')), ErrorCode::kInvalidArgument);
  EXPECT_OK(check_object_name(std::string(200, 'a')));
}

}  // namespace
}  // namespace cacs::repository
