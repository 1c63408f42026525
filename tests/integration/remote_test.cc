// The server of launched commands (init/remote.h) against clients of every kind: what they send is cut anywhere, is too
// long, of a wrong type, or anything at all. It answers what is right, and ends with its command whatever comes. In a
// network namespace of its own. Needs root.

#include "init/remote.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <random>
#include <string>

#include "base/fd.h"
#include "net/netlink.h"

namespace {

using cacs::UniqueFd;

constexpr int kLimitMs = 20'000;
constexpr int kRefused = 126;

std::string magic() { return {remote::kMagic, sizeof remote::kMagic}; }

std::string header(char type, std::size_t length) {
  std::string made(remote::kHeader, '\0');
  remote::put_header(made.data(), static_cast<remote::Frame>(type), length);
  return made;
}

std::string frame(char type, const std::string& bytes) { return header(type, bytes.size()) + bytes; }

std::string begin(const std::string& command) { return magic() + frame(remote::kCommand, command); }

/// What the server says until it hangs up.
struct Answer {
  std::string output;
  std::string error;
  int status = -1;  ///< -1: it told none
  bool whole = true;
};

Answer parse(const std::string& bytes) {
  Answer answer;
  std::size_t at = 0;
  while (bytes.size() - at >= remote::kHeader) {
    const std::size_t length = remote::frame_length(bytes.data() + at);
    if (length > bytes.size() - at - remote::kHeader) break;
    const std::string body = bytes.substr(at + remote::kHeader, length);
    if (bytes[at] == remote::kOutput) answer.output += body;
    if (bytes[at] == remote::kError) answer.error += body;
    if (bytes[at] == remote::kStatus && length == 1) answer.status = static_cast<unsigned char>(body[0]);
    at += remote::kHeader + length;
  }
  answer.whole = at == bytes.size();
  return answer;
}

class RemoteTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto made = cacs::net::make_network([](int, int) -> cacs::Status {
      CACS_ASSIGN(cacs::net::Netlink links, cacs::net::Netlink::open());
      return links.set_up("lo");
    });
    ASSERT_TRUE(made.ok()) << made.error().to_string();
    space_ = *std::move(made);
    inside([&] { listener_ = UniqueFd(listen_for_launches("127.0.0.1")); });
    ASSERT_TRUE(listener_.valid());
    std::string pattern = "/tmp/cacs-remote-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override {
    std::error_code ignored;
    if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
  }

  template <typename Work>
  void inside(const Work& work) {
    const auto done = cacs::net::in_network(space_.get(), [&]() -> cacs::Status {
      work();
      return {};
    });
    ASSERT_TRUE(done.ok()) << done.error().to_string();
  }

  /// A client, and the server for it.
  UniqueFd connect() {
    UniqueFd client;
    inside([&] { client = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); });
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(remote::kPort);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    accept_launch(listener_.get(), "root");
    return client;
  }

  static void send(const UniqueFd& client, const std::string& bytes) {
    // A server that has refused does not read the rest.
    [[maybe_unused]] const auto sent = ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  static std::string receive_all(const UniqueFd& client) {
    std::string all;
    std::array<char, 4096> piece{};
    while (true) {
      pollfd waiting{client.get(), POLLIN, 0};
      if (::poll(&waiting, 1, kLimitMs) != 1) {
        ADD_FAILURE() << "the server neither answers nor hangs up";
        return all;
      }
      const ssize_t got = ::recv(client.get(), piece.data(), piece.size(), 0);
      if (got <= 0) return all;
      all.append(piece.data(), static_cast<std::size_t>(got));
    }
  }

  /// The end of the server: its exit code; 1000 and more: a signal.
  static int server_end() {
    int status = 0;
    while (::waitpid(-1, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  Answer talk(const std::string& bytes) {
    const UniqueFd client = connect();
    send(client, bytes);
    Answer answer = parse(receive_all(client));
    end_ = server_end();
    return answer;
  }

  UniqueFd space_;
  UniqueFd listener_;
  std::filesystem::path dir_;
  int end_ = -1;
};

TEST_F(RemoteTest, CarriesInputOutputErrorAndStatus) {
  const Answer answer = talk(begin("cat; echo aside >&2; exit 7") + frame(remote::kInput, "in") +
                             frame(remote::kInput, "put") + frame(remote::kInput, ""));
  EXPECT_EQ(answer.output, "input");
  EXPECT_EQ(answer.error, "aside\n");
  EXPECT_EQ(answer.status, 7);
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(end_, 0);
  EXPECT_EQ(talk(begin("kill -9 $$")).status, 128 + SIGKILL);
}

TEST_F(RemoteTest, FramesMayComeByteByByte) {
  const std::string all = begin("cat") + frame(remote::kInput, "abc") + frame(remote::kInput, "");
  const UniqueFd client = connect();
  for (const char byte : all) {
    send(client, std::string(1, byte));
    ::usleep(2000);
  }
  const Answer answer = parse(receive_all(client));
  EXPECT_EQ(answer.output, "abc");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(server_end(), 0);
}

TEST_F(RemoteTest, TheLongestFrameIsTakenAndOneByteMoreIsNot) {
  const std::string longest(remote::kMaxFrame, 'x');
  const Answer taken = talk(begin("wc -c") + frame(remote::kInput, longest) + frame(remote::kInput, ""));
  EXPECT_EQ(taken.output, std::to_string(remote::kMaxFrame) + "\n");
  // The command is told that whoever wanted it is gone; else it would run for an hour.
  const Answer refused = talk(begin("exec sleep 3600") + header(remote::kInput, remote::kMaxFrame + 1));
  EXPECT_EQ(refused.status, -1);
  EXPECT_EQ(end_, 0);
  EXPECT_EQ(talk(begin("exec sleep 3600") + header(remote::kInput, 0xffffffff)).status, -1);
}

TEST_F(RemoteTest, NothingIsRunForABeginningThatIsWrong) {
  const std::string mark = (dir_ / "ran").string();
  const std::string command = "touch " + mark;
  std::string other = begin(command);
  other[3] = 'X';
  const std::array<std::string, 7> wrong{other,
                                         magic() + frame(remote::kInput, command),
                                         magic() + frame(remote::kStatus, command),
                                         magic() + header(remote::kCommand, 0),
                                         magic() + header(remote::kCommand, remote::kMaxFrame + 1) + command,
                                         magic() + frame(remote::kCommand, command + std::string(1, '\0')),
                                         frame(remote::kCommand, command)};
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const UniqueFd client = connect();
    send(client, wrong.at(i));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(receive_all(client), "") << i;
    EXPECT_EQ(server_end(), kRefused) << i;
    EXPECT_FALSE(std::filesystem::exists(mark)) << i;
  }
  EXPECT_EQ(talk(begin(command)).status, 0);
  EXPECT_TRUE(std::filesystem::exists(mark));
}

TEST_F(RemoteTest, AFrameOfAnotherTypeEndsTheCommand) {
  for (const char type : {remote::kCommand, remote::kOutput, remote::kStatus}) {
    EXPECT_EQ(talk(begin("exec sleep 3600") + frame(type, "x")).status, -1) << type;
    EXPECT_EQ(end_, 0) << type;
  }
}

TEST_F(RemoteTest, AClientThatIsGoneAtAnyByteLeavesNothingBehind) {
  const std::string all = begin("cat; exec sleep 3600") + frame(remote::kInput, "abc");
  const std::size_t until_command = begin("cat; exec sleep 3600").size();
  for (std::size_t length = 0; length <= all.size(); ++length) {
    UniqueFd client = connect();
    send(client, all.substr(0, length));
    client.reset();
    EXPECT_EQ(server_end(), length < until_command ? kRefused : 0) << length;
  }
}

TEST_F(RemoteTest, AnythingAtAllEndsInGoodOrder) {
  std::mt19937 random(20240607);
  for (int round = 0; round < 100; ++round) {
    // Half of them get as far as a running command; frames look right more often than chance has it.
    std::string bytes = round % 2 == 0 ? begin("cat") : magic();
    const auto pieces = random() % 6;
    for (unsigned i = 0; i < pieces; ++i) {
      std::string body(random() % 300, '\0');
      for (char& byte : body) byte = static_cast<char>(random());
      constexpr std::string_view kTypes = "IIIIIICORS";
      bytes += random() % 8 == 0 ? body : frame(kTypes.at(random() % kTypes.size()), body);
    }
    UniqueFd client = connect();
    send(client, bytes);
    ::shutdown(client.get(), SHUT_WR);
    const Answer answer = parse(receive_all(client));
    client.reset();
    EXPECT_TRUE(answer.whole) << "round " << round;
    const int end = server_end();
    EXPECT_TRUE(end == 0 || end == kRefused) << "round " << round << ": " << end;
  }
}

}  // namespace
