#include "repository/summaries.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "repository/backend/faulty_backend.h"
#include "repository/layout.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

/// As many checkpoints as fill every summary document well above what is worth writing.
constexpr std::size_t kMany = 256 * 40;

class SummariesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(Repository::create(store_.place())); }

  /// A handle whose operations on the store are counted.
  std::unique_ptr<Repository> open() {
    Place place = store_.place();
    auto counting = std::make_unique<FaultyBackend>(std::move(place.backend), 1);
    counting_ = counting.get();
    place.backend = std::move(counting);
    auto opened = Repository::open(std::move(place));
    EXPECT_TRUE(opened.ok());
    return std::move(*opened);
  }

  /// A manifest alone, which is all that a list is made of.
  std::string add(const std::string& application, std::string id = new_uuid()) {
    ManifestDocument document;
    document.head = {
        .checkpoint = id, .application = application, .incarnation = 2, .created_at = "2026-01-02T03:04:05Z"};
    document.head.size_bytes = std::uint64_t{1} << 62U;
    document.head.stored_bytes = 17;
    document.entry_count = 3;
    const auto backend = make_memory_backend(store_.objects);
    EXPECT_TRUE(store_document(*backend, DocumentKind::kManifest, store_.keys, manifest_name(store_.keys, id),
                               manifest_to_json(document), Overwrite::kNo)
                    .ok());
    return id;
  }

  void add_many() {
    for (std::size_t i = 0; i < kMany; ++i) ids_.push_back(add("app" + std::to_string(i % 7)));
    std::ranges::sort(ids_);
  }

  static std::vector<std::string> ids_of(const std::vector<BriefSummary>& list) {
    std::vector<std::string> ids;
    for (const auto& summary : list) {
      EXPECT_FALSE(summary.problem.has_value());
      ids.push_back(summary.checkpoint);
    }
    std::ranges::sort(ids);
    return ids;
  }
  /// The list of a new handle, and how many operations it took.
  std::vector<BriefSummary> list_anew() {
    const auto repository = open();
    const auto before = counting_->operations();
    auto list = repository->list_brief();
    EXPECT_TRUE(list.ok());
    operations_ = counting_->operations() - before;
    return std::move(*list);
  }
  void damage(const std::string& name, std::size_t at) {
    auto bytes = *store_.objects->get(name);
    bytes.at(at) ^= std::byte{4};
    store_.objects->put(name, std::make_shared<const std::vector<std::byte>>(std::move(bytes)), Overwrite::kYes);
  }

  TestStore store_;
  FaultyBackend* counting_ = nullptr;
  std::vector<std::string> ids_;
  std::uint64_t operations_ = 0;
};

TEST_F(SummariesTest, AreThoseOfTheManifests) {
  const std::string id = add("an application");
  const auto list = list_anew();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].checkpoint, id);
  EXPECT_EQ(list[0].application, "an application");
  EXPECT_EQ(list[0].created_at, "2026-01-02T03:04:05Z");
  EXPECT_EQ(list[0].incarnation, 2);
  EXPECT_EQ(list[0].size_bytes, std::uint64_t{1} << 62U);
  EXPECT_EQ(list[0].stored_bytes, 17U);
  EXPECT_EQ(list[0].entry_count, 3U);
  EXPECT_TRUE(store_.objects->list(std::string(kSummaryPrefix)).empty()) << "not worth while for one";
}

TEST_F(SummariesTest, SpareTheReadingOfManifests) {
  add_many();
  const auto first = list_anew();
  EXPECT_EQ(ids_of(first), ids_);
  EXPECT_GT(operations_, kMany);
  auto again = list_anew();
  EXPECT_EQ(ids_of(again), ids_);
  // A listing, and 256 documents, each a size and a read.
  EXPECT_LT(operations_, 1000U);
  // What was kept is what was read.
  const auto by_id = [](const BriefSummary& one, const BriefSummary& other) {
    return one.checkpoint < other.checkpoint;
  };
  std::ranges::sort(again, by_id);
  const auto full = open()->list();
  ASSERT_OK(full);
  ASSERT_EQ(full->size(), again.size());
  for (std::size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].application, full->at(i).head.application);
    EXPECT_EQ(again[i].size_bytes, full->at(i).head.size_bytes);
    EXPECT_EQ(again[i].created_at, full->at(i).head.created_at);
    EXPECT_EQ(again[i].incarnation, full->at(i).head.incarnation);
  }
  ids_.push_back(add("one more"));
  std::ranges::sort(ids_);
  EXPECT_EQ(ids_of(list_anew()), ids_);
  EXPECT_LT(operations_, 1000U);
}

TEST_F(SummariesTest, ForgetWhatIsRemovedAndSeeWhatIsMadeAnew) {
  add_many();
  list_anew();
  const std::string gone = ids_.front();
  ASSERT_OK(open()->remove(gone));
  ids_.erase(ids_.begin());
  EXPECT_EQ(ids_of(list_anew()), ids_);
  list_anew();
  // Of the same id, and the same length.
  add("appX", gone);
  const auto list = list_anew();
  const auto found = std::ranges::find(list, gone, &BriefSummary::checkpoint);
  ASSERT_NE(found, list.end());
  EXPECT_EQ(found->application, "appX");
}

TEST_F(SummariesTest, AreReadFromTheManifestsWhereTheyAreDamaged) {
  add_many();
  list_anew();
  const auto documents = store_.objects->list(std::string(kSummaryPrefix));
  ASSERT_EQ(documents.size(), 256U);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (i % 3 == 0) damage(documents[i].name, i % documents[i].size);
    if (i % 3 == 1) {  // one in the place of another
      store_.objects->put(documents[i].name, store_.objects->get(documents[(i + 1) % 256].name), Overwrite::kYes);
    }
  }
  EXPECT_EQ(ids_of(list_anew()), ids_);
  list_anew();
  EXPECT_LT(operations_, 1000U) << "they were not written again";
}

TEST_F(SummariesTest, NameManifestsThatCannotBeRead) {
  add("app");
  const auto id = add("app");
  const std::string name = manifest_name(store_.keys, id);
  damage(name, 60);
  const auto list = list_anew();
  ASSERT_EQ(list.size(), 2U);
  const auto bad = std::ranges::find_if(list, [](const auto& summary) { return summary.problem.has_value(); });
  ASSERT_NE(bad, list.end());
  EXPECT_EQ(bad->checkpoint, name.substr(kManifestPrefix.size()));
  ASSERT_OK(open()->remove(bad->checkpoint));
  EXPECT_EQ(list_anew().size(), 1U);
}

TEST_F(SummariesTest, AFailingStoreIsAnError) {
  add_many();
  const auto repository = open();
  counting_->set_faults({.error = 1});
  EXPECT_FALSE(repository->list_brief().ok());
  counting_->set_faults({});
  for (const std::uint64_t at : {2U, 5000U}) {
    counting_->fail_at(at, ErrorCode::kUnavailable);
    const auto list = repository->list_brief();
    // A manifest that could not be read is listed as such; nothing is left out.
    if (list) {
      EXPECT_EQ(list->size(), kMany);
    }
  }
  EXPECT_EQ(ids_of(list_anew()), ids_);
}

}  // namespace
}  // namespace cacs::repository
