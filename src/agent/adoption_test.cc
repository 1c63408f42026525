#include "agent/adoption.h"

#include <gtest/gtest.h>

#include <thread>

#include "agent/exports.h"
#include "base/io.h"
#include "base/uuid.h"
#include "repository/keys/key_file.h"
#include "repository/test_support.h"
#include "repository/unlock.h"
#include "transfer/framing.h"
#include "transfer/tokens.h"

namespace cacs::agent {
namespace {

using repository::StreamKind;
using repository::TemporaryDirectory;

/// Two nodes' repositories, made with one key. The first has a checkpoint's part with two pods.
class AdoptionTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto key = repository::SecretKey::random();
    for (const auto* node : {"one", "other"}) {
      ASSERT_TRUE(repository::create_key_file(directory_.path() / (std::string(node) + ".key"), key).ok());
    }
    auto one = CheckpointStore::open(directory_.path() / "one");
    auto other = CheckpointStore::open(directory_.path() / "other");
    ASSERT_TRUE(one.ok() && other.ok());
    one_ = *std::move(one);
    other_ = *std::move(other);
    commit(*one_, {"pod-0", "pod-1"});
  }

  void commit(CheckpointStore& store, const std::vector<std::string>& pods) {
    std::vector<std::string> pieces;
    JsonArray names;
    for (const auto& pod : pods) {
      auto writer = store.repository().begin(pod);
      ASSERT_TRUE(writer.ok());
      auto blob = repository::put_text(**writer, content_of(pod), StreamKind::kMetadata);
      ASSERT_TRUE(blob.ok());
      auto piece = (*writer)->finish_piece({{pod + "/images/inventory.img", *blob}}, {{"of", pod}});
      ASSERT_TRUE(piece.ok());
      pieces.push_back(*piece);
      names.emplace_back(pod);
    }
    repository::Manifest head{.checkpoint = id_, .application = "app", .incarnation = 4};
    head.meta = {{"pods", names}, {"of_pods", 3}, {"name", "test"}};
    ASSERT_TRUE(store.repository().commit_checkpoint(head, pieces).ok());
  }

  static std::string content_of(const std::string& pod) { return "what is saved of " + pod; }

  std::vector<pod::PartSource> place_of_one() {
    return {{.node = {}, .agent = {}, .ticket = {}, .place = (directory_.path() / "one").string()}};
  }

  AdoptionOptions options() {
    return {.tls = {},
            .key_file = directory_.path() / "other.key",
            .stop = {},
            .adopted = [this](const repository::Manifest& head) { adopted_.push_back(head.checkpoint); }};
  }

  void expect_pods(const std::vector<std::string>& pods) {
    const auto manifest = other_->repository().load(id_);
    ASSERT_TRUE(manifest.ok()) << manifest.error().to_string();
    EXPECT_EQ(manifest->meta.at("pods"), JsonArray(pods.begin(), pods.end()));
    EXPECT_EQ(manifest->meta.at("of_pods"), 3);
    EXPECT_EQ(manifest->incarnation, 4);
    ASSERT_EQ(manifest->pieces.size(), pods.size());
    for (std::size_t i = 0; i < pods.size(); ++i) {
      EXPECT_EQ(manifest->pieces[i].label, pods[i]);
      EXPECT_EQ(manifest->pieces[i].meta.at("of"), Json(pods[i]));
      const auto* blob = transfer::find_entry(*manifest, pods[i] + "/images/inventory.img");
      ASSERT_NE(blob, nullptr);
      EXPECT_EQ(repository::read_text(other_->repository(), *blob).value(), content_of(pods[i]));
    }
    EXPECT_TRUE(other_->repository().list_pieces()->empty());
    EXPECT_TRUE(other_->repository().check(true)->problems.empty());
  }

  const std::string id_ = new_uuid();
  TemporaryDirectory directory_;
  std::unique_ptr<CheckpointStore> one_;
  std::unique_ptr<CheckpointStore> other_;
  std::vector<std::string> adopted_;
};

TEST_F(AdoptionTest, PodsComeOneByOneFromAPlace) {
  Adoption adoption(*other_, options());
  ASSERT_TRUE(adoption.bring(id_, "pod-1", place_of_one()).ok());
  expect_pods({"pod-1"});
  ASSERT_TRUE(adoption.bring(id_, "pod-0", place_of_one()).ok());
  expect_pods({"pod-1", "pod-0"});
  EXPECT_EQ(adopted_, (std::vector<std::string>{id_, id_}));
  // What is here is not asked for again.
  ASSERT_TRUE(adoption.bring(id_, "pod-0", {}).ok());
  EXPECT_EQ(adopted_.size(), 2U);
}

TEST_F(AdoptionTest, BothAtOnce) {
  Adoption adoption(*other_, options());
  Status first;
  {
    const std::jthread thread([&] { first = adoption.bring(id_, "pod-0", place_of_one()); });
    EXPECT_TRUE(adoption.bring(id_, "pod-1", place_of_one()).ok());
  }
  EXPECT_TRUE(first.ok());
  const auto manifest = other_->repository().load(id_);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->pieces.size(), 2U);
  EXPECT_TRUE(other_->repository().check(true)->problems.empty());
}

TEST_F(AdoptionTest, APodThatNobodyHasIsNotFoundAndLeavesNothing) {
  Adoption adoption(*other_, options());
  const Status brought = adoption.bring(id_, "pod-2", place_of_one());
  ASSERT_FALSE(brought.ok());
  EXPECT_EQ(brought.error().code, ErrorCode::kNotFound) << brought.error().to_string();
  EXPECT_NE(brought.error().message.find("pod-2"), std::string::npos);
  EXPECT_FALSE(other_->repository().load(id_).ok());
  EXPECT_TRUE(other_->repository().list_pieces()->empty());
  EXPECT_EQ(adoption.bring(id_, "pod-2", {}).error().code, ErrorCode::kNotFound);
}

TEST_F(AdoptionTest, OneThatCannotBeAskedIsNoProofThatItIsNotThere) {
  Adoption adoption(*other_, options());
  // Nobody listens there.
  const pod::PartSource silent{.node = "local-1", .agent = "127.0.0.1:1", .ticket = "00", .place = {}};
  auto sources = place_of_one();
  sources.push_back(silent);
  const Status brought = adoption.bring(id_, "pod-2", sources);
  ASSERT_FALSE(brought.ok());
  EXPECT_NE(brought.error().code, ErrorCode::kNotFound) << brought.error().to_string();
  EXPECT_TRUE(adoption.bring(id_, "pod-1", {silent, place_of_one().front()}).ok());
  expect_pods({"pod-1"});
}

TEST_F(AdoptionTest, WithAnotherKeyAPlaceStaysClosed) {
  auto with = options();
  with.key_file = directory_.path() / "third.key";
  ASSERT_TRUE(repository::create_key_file(with.key_file, repository::SecretKey::random()).ok());
  Adoption adoption(*other_, with);
  EXPECT_EQ(adoption.bring(id_, "pod-1", place_of_one()).error().code, ErrorCode::kUnauthenticated);
}

TEST_F(AdoptionTest, DamageThereIsDamageAndLeavesNothingHere) {
  one_.reset();
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory_.path() / "one/packs")) {
    if (!file.is_regular_file()) continue;
    std::string bytes = read_text_file(file.path()).value();
    for (std::size_t i = 64; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ 1);
    ASSERT_TRUE(write_file_durably(file.path(), bytes).ok());
  }
  Adoption adoption(*other_, options());
  const Status brought = adoption.bring(id_, "pod-1", place_of_one());
  ASSERT_FALSE(brought.ok());
  EXPECT_EQ(brought.error().code, ErrorCode::kCorrupt) << brought.error().to_string();
  EXPECT_TRUE(other_->repository().list_pieces()->empty());
}

TEST_F(AdoptionTest, ATicketIsForOnePodOfOneCheckpoint) {
  Exports exports(one_->repository());
  const auto ticket = exports.permit(id_, "pod-1");
  ASSERT_TRUE(ticket.ok()) << ticket.error().to_string();
  EXPECT_EQ(ticket->size(), 48U);
  const auto permitted = exports.look_up(*ticket);
  ASSERT_TRUE(permitted.ok());
  EXPECT_EQ(permitted->checkpoint, id_);
  EXPECT_EQ(permitted->pod, "pod-1");
  EXPECT_EQ(exports.look_up("00").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(exports.look_up("").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(exports.permit(id_, "pod-2").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(exports.permit(new_uuid(), "pod-0").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(exports.permit("../../etc", "pod-0").error().code, ErrorCode::kInvalidArgument);
  std::string wire;
  ASSERT_TRUE(exports
                  .send(*permitted,
                        [&](std::string_view text) -> Status {
                          wire += text;
                          return {};
                        })
                  .ok());
  std::string bytes;
  transfer::FrameReader frames([&](std::span<const std::byte> part) -> Status {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    return {};
  });
  ASSERT_TRUE(frames.take(wire).ok());
  EXPECT_TRUE(frames.result().ok());
  EXPECT_NE(bytes.find(content_of("pod-1")), std::string::npos);
  EXPECT_EQ(bytes.find(content_of("pod-0")), std::string::npos);
}

TEST_F(AdoptionTest, WhatFailsInTheMiddleIsToldAtTheOtherEnd) {
  Exports exports(one_->repository());
  const auto permitted = exports.look_up(*exports.permit(id_, "pod-0"));
  ASSERT_TRUE(permitted.ok());
  ASSERT_TRUE(one_->repository().remove(id_).ok());
  transfer::FrameReader frames([](std::span<const std::byte>) -> Status { return {}; });
  ASSERT_TRUE(exports.send(*permitted, [&](std::string_view text) { return frames.take(text); }).ok());
  EXPECT_EQ(frames.result().error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cacs::agent
