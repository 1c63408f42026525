#include "repository/session/session_documents.h"

#include <gtest/gtest.h>

#include <string>

#include "base/io.h"
#include "repository/session/session_keys.h"

namespace cacs::repository {
namespace {

WriterRegister sample_register() {
  WriterRegister content;
  content.instance = {1, 2};
  content.name = "agent on n1";
  content.host = {"boot/4026531836", 4711, 99};
  content.version = 7;
  content.resigned = true;
  content.first_committed = 3;
  content.committed = {"manifests/aa.bb", "pieces/cc"};
  content.open = {{5, {1, 2}, {"pieces/dd"}}, {6, {0, 0}, {}}};
  return content;
}

CollectorState sample_state() {
  CollectorState state;
  state.term = 4;
  state.serial = 20;
  state.lineage = {{1, 3}, {3, 19}};
  state.base = 9;
  state.members = {{2, MemberStatus::kActive, 3, 17}, {9, MemberStatus::kClosed, 1, 0}};
  state.condemned = {{"00ff", 18, CondemnedPhase::kExecuting, 20, 0, {{0, 4}, {256, 1}}},
                     {"00fe", 20, CondemnedPhase::kCondemned, 0, 0, {}},
                     {"00fd", 2, CondemnedPhase::kDone, 0, 4, {}}};
  state.floor = 1;
  state.catalogue = {3, 19};
  return state;
}

RootCatalogue sample_catalogue() { return {{"manifests/a", "manifests/b"}, {{"00ff", 3}, {"01", 20}}}; }

std::vector<SessionDocument> samples() {
  return {Claim{{3, 4}, 5},   Licence{{6, 7}},  sample_register(), sample_state(),
          sample_catalogue(), WriterRegister{}, CollectorState{},  RootCatalogue{}};
}

TEST(SessionDocuments, ComeBackAsTheyWere) {
  for (const auto& document : samples()) {
    const auto bytes = encode_session_document(document);
    ASSERT_TRUE(bytes.ok());
    const auto again = parse_session_document(*bytes, "it");
    ASSERT_TRUE(again.ok()) << again.error().to_string();
    EXPECT_TRUE(*again == document) << document.index();
  }
}

TEST(SessionDocuments, BytesAreThoseOfTheDocumentation) {
  const auto bytes = encode_session_document(Claim{{0x0102, 3}, 4});
  ASSERT_TRUE(bytes.ok());
  std::string expected = "CACSSESS";
  expected += std::string("\x01\0\x01\0\x01\0\0\0", 8);
  expected += std::string("\x02\x01\0\0\0\0\0\0", 8) + std::string("\x03\0\0\0\0\0\0\0", 8);
  expected += std::string("\x04\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), expected);
}

TEST(SessionDocuments, WhatIsCutOffIsRefused) {
  for (const auto& document : samples()) {
    const auto bytes = encode_session_document(document).value();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto cut = parse_session_document(std::span(bytes).first(size), "it");
      ASSERT_FALSE(cut.ok()) << document.index() << " cut to " << size;
      EXPECT_EQ(cut.error().code, ErrorCode::kCorrupt);
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(parse_session_document(longer, "it").ok());
  }
}

TEST(SessionDocuments, AChangedByteIsRefusedOrAnotherDocument) {
  constexpr std::size_t kVersionAt = 8;
  for (const auto& document : samples()) {
    const auto bytes = encode_session_document(document).value();
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (at == kVersionAt || at == kVersionAt + 1) continue;  // a newer writer's, which this reader can read
      auto changed = bytes;
      changed[at] ^= std::byte{0x81};
      const auto read = parse_session_document(changed, "it");
      if (read) {
        EXPECT_FALSE(*read == document) << document.index() << " at " << at;
      }
    }
  }
}

TEST(SessionDocuments, OfANewerReaderIsUnsupported) {
  auto bytes = encode_session_document(Licence{{1, 1}}).value();
  bytes[10] = std::byte{2};
  const auto read = parse_session_document(bytes, "it");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::kUnsupported);
}

TEST(SessionDocuments, NothingOverABoundIsWritten) {
  auto content = sample_register();
  content.name.assign(kMaxWriterNameBytes + 1, 'n');
  EXPECT_EQ(encode_session_document(content).error().code, ErrorCode::kTooLarge);
  content = sample_register();
  content.open.resize(kMaxOpenSessions + 1);
  EXPECT_EQ(encode_session_document(content).error().code, ErrorCode::kTooLarge);
  auto state = sample_state();
  state.condemned[0].pack.assign(kMaxPackNameBytes + 1, 'p');
  EXPECT_EQ(encode_session_document(state).error().code, ErrorCode::kTooLarge);
  state = sample_state();
  state.condemned[0].slots.assign(kMaxCondemnedRanges, {1, 1});
  state.condemned[1].slots.assign(1, {1, 1});
  EXPECT_EQ(encode_session_document(state).error().code, ErrorCode::kTooLarge);
  auto catalogue = sample_catalogue();
  catalogue.roots[0].assign(kMaxRootKeyBytes + 1, 'r');
  EXPECT_EQ(encode_session_document(catalogue).error().code, ErrorCode::kTooLarge);
}

TEST(SessionDocuments, WhatNoCollectorWritesIsRefused) {
  const auto refused = [](const SessionDocument& document) {
    const auto bytes = encode_session_document(document);
    return bytes.ok() && !parse_session_document(*bytes, "it").ok();
  };
  auto state = sample_state();
  std::swap(state.members[0], state.members[1]);
  EXPECT_TRUE(refused(state)) << "seats out of order";
  state = sample_state();
  state.base = 8;
  EXPECT_TRUE(refused(state)) << "a member above the base";
  state = sample_state();
  state.condemned[0].slots = {{4, 4}, {7, 1}};
  EXPECT_TRUE(refused(state)) << "ranges that overlap";
  state = sample_state();
  state.condemned[0].slots = {{0xffff'ffff, 2}};
  EXPECT_TRUE(refused(state)) << "a range past the last slot";
  auto catalogue = sample_catalogue();
  std::swap(catalogue.roots[0], catalogue.roots[1]);
  EXPECT_TRUE(refused(catalogue)) << "roots out of order";
  catalogue = sample_catalogue();
  catalogue.generations[0].generation = 0;
  EXPECT_TRUE(refused(catalogue)) << "a generation that needs no mention";
  auto content = sample_register();
  content.first_committed = 0;
  EXPECT_TRUE(refused(content)) << "roots are numbered from 1";
}

TEST(SessionDocuments, ACountThatTheRestCannotHoldAllocatesNothing) {
  auto bytes = encode_session_document(RootCatalogue{}).value();
  for (const std::size_t at : {16U, 17U}) bytes[at] = std::byte{0xff};
  EXPECT_EQ(parse_session_document(bytes, "it").error().code, ErrorCode::kCorrupt);
}

TEST(SessionKeys, AreReadAsTheyAreWritten) {
  const auto parsed = parse_session_key(register_key(12, 3));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kind, SessionKeyKind::kRegister);
  EXPECT_EQ(parsed->number, 12U);
  EXPECT_EQ(parsed->second, 3U);
  for (const char* name : {"sessions/", "sessions/terms/", "sessions/terms/0", "sessions/terms/01", "sessions/terms/-1",
                           "sessions/terms/1.third", "sessions/registers/1", "sessions/registers/1.",
                           "sessions/states/1 ", "sessions/states/99999999999999999999", "manifests/1"}) {
    EXPECT_FALSE(parse_session_key(name)) << name;
  }
}

}  // namespace
}  // namespace cacs::repository
